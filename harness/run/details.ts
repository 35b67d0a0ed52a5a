import type { CheckResult, ScenarioResult } from "../result.ts";
import { readLog } from "../kube/exec.ts";
import { reviewDetails } from "../verdict/index.ts";
import type { Session } from "./session.ts";
import { worst } from "./step.ts";

/** Envoy writes its access log once a second under pilot-agent (`--file-flush-interval-msec 1000`); twice that and a bit. */
const LIMIT_MS = 2_500;

/** Response code details by User-Agent. */
type Details = Map<string, string>;

/** Reads the access logs of the proxies that judge, for as long as a run lasts: a container's log is kept for a while only. */
export interface DetailsReader {
  /** Takes what is in the logs now. */
  read(): Promise<void>;
  /**
   * Lets each check be reviewed by what was read: who decided in Envoy's own words. A line that is not there (another log
   * format) leaves a check that does not demand it as it is.
   */
  review(scenarios: readonly ScenarioResult[]): Promise<ScenarioResult[]>;
}

/**
 * @param targets the names that requests are sent to
 * @param since when the run began
 */
export function createDetailsReader(session: Session, targets: readonly string[], since: Date): DetailsReader {
  const details = new Map(targets.map((to): [string, Details] => [to, new Map()]));
  let from = since;
  const read = async (): Promise<void> => {
    const now = new Date();
    await Promise.all([...details].map(([to, found]) => readDetails(session, to, from, found)));
    // Proxies write a moment late, and clocks may differ a little.
    from = new Date(now.getTime() - 30_000);
  };
  return {
    read,
    async review(scenarios) {
      const checks = scenarios.flatMap((s) => s.steps.flatMap((step) => step.checks));
      const last = targets.flatMap((to) => {
        const userAgent = checks.findLast((check) => check.request.to === to)?.got.userAgent;
        return userAgent === undefined ? [] : [{ to, userAgent }];
      });
      for (const until = Date.now() + LIMIT_MS; ;) {
        await read();
        if (last.every(({ to, userAgent }) => details.get(to)?.has(userAgent)) || Date.now() > until) break;
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
      return scenarios.map((scenario) => reviewed(scenario, details));
    },
  };
}

function reviewed(scenario: ScenarioResult, details: ReadonlyMap<string, Details>): ScenarioResult {
  const review = (check: CheckResult): CheckResult => {
    const found = details.get(check.request.to)?.get(check.got.userAgent ?? "");
    const missing = "the access log has no line for this request";
    return reviewDetails(check, found === undefined ? { missing } : { details: found });
  };
  const steps = scenario.steps.map((step) => {
    const checks = step.checks.map(review);
    return { ...step, checks, status: worst([...checks, ...step.asked].map((c) => c.status)) };
  });
  const status = scenario.status === "passed" ? worst(steps.map((s) => s.status)) : scenario.status;
  return { ...scenario, steps, status };
}

async function readDetails(session: Session, to: string, since: Date, found: Details): Promise<void> {
  const { proxies } = await session.target(to);
  for (const proxy of proxies) {
    const where = { namespace: proxy.namespace, pod: proxy.pod, container: "istio-proxy" };
    for (const line of (await readLog(session.kube, where, since)).split("\n")) {
      const entry = parseLine(line);
      if (entry) found.set(entry.userAgent, entry.details);
    }
  }
}

/** A line of Istio's JSON access log (meshConfig.accessLogEncoding: JSON). */
function parseLine(line: string): { userAgent: string; details: string } | undefined {
  if (!line.startsWith("{") || !line.includes("meshproof/")) return undefined;
  try {
    const { user_agent: userAgent, response_code_details: details } = JSON.parse(line) as Record<string, unknown>;
    return typeof userAgent === "string" && typeof details === "string" ? { userAgent, details } : undefined;
  } catch {
    return undefined;
  }
}
