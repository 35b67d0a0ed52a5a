import type { CheckResult, ScenarioResult } from "../result.ts";
import { readLog } from "../kube/exec.ts";
import { reviewDetails } from "../verdict/index.ts";
import type { Session } from "./session.ts";
import { worst } from "./step.ts";

/** Envoy writes its access log once a second under pilot-agent (`--file-flush-interval-msec 1000`); twice that and a bit. */
const LIMIT_MS = 2_500;

/** Response code details by User-Agent, per target name. */
type Details = ReadonlyMap<string, ReadonlyMap<string, string>>;

/**
 * Reads the access logs of the proxies that judged, and lets each check be reviewed by them: who decided in Envoy's own words.
 * A line that is not there (another log format, a rotated log) leaves a check that does not demand it as it is.
 */
export async function addDetails(
  session: Session,
  scenarios: readonly ScenarioResult[],
  since: Date,
): Promise<ScenarioResult[]> {
  const checks = scenarios.flatMap((s) => s.steps.flatMap((step) => step.checks));
  const targets = [...new Set(checks.map((check) => check.request.to))];
  const last = new Map(targets.map((to) => [to, checks.findLast((c) => c.request.to === to)?.got.userAgent ?? ""]));
  const details: Details = new Map(
    await Promise.all(
      targets.map(async (to) => [to, await readDetails(session, to, since, last.get(to) ?? "")] as const),
    ),
  );
  const review = (check: CheckResult): CheckResult =>
    reviewDetails(check, details.get(check.request.to)?.get(check.got.userAgent ?? ""));
  return scenarios.map((scenario) => {
    const steps = scenario.steps.map((step) => {
      const reviewed = step.checks.map(review);
      return { ...step, checks: reviewed, status: worst([...reviewed, ...step.asked].map((c) => c.status)) };
    });
    const status = scenario.status === "passed" ? worst(steps.map((s) => s.status)) : scenario.status;
    return { ...scenario, steps, status };
  });
}

async function readDetails(
  session: Session,
  to: string,
  since: Date,
  awaited: string,
): Promise<ReadonlyMap<string, string>> {
  const { proxies } = await session.target(to);
  const until = Date.now() + LIMIT_MS;
  for (;;) {
    const found = new Map<string, string>();
    for (const proxy of proxies) {
      const where = { namespace: proxy.namespace, pod: proxy.pod, container: "istio-proxy" };
      for (const line of (await readLog(session.kube, where, since)).split("\n")) {
        const entry = parseLine(line);
        if (entry) found.set(entry.userAgent, entry.details);
      }
    }
    if (found.has(awaited) || proxies.length === 0 || Date.now() > until) return found;
    await new Promise((resolve) => setTimeout(resolve, 100));
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
