import { excuseRun, type KnownFailureEntry } from "../known-failures.ts";
import type { RunResult, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { countOf, worst } from "../verdict/index.ts";
import { cut, type Interruption } from "./interruption.ts";
import { inRunOrder, type Ground } from "./plan.ts";
import { chargeDeaths, PUBLISHED_MS, type LastSeen } from "./late-deaths.ts";
import type { Around } from "./restarts.ts";
import { unrun } from "./scenario.ts";
import { SCENARIO } from "./settings.ts";

/** What is known of a scenario when the run has ended. */
export interface Recorded {
  /** One for each time that it ran to its end: `--repeat-each`, `--retries`. */
  readonly results: readonly ScenarioResult[];
  /** The pods around it. */
  readonly around?: Around;
  /** What Playwright says where it did not run to its end. */
  readonly complaint?: string;
  /** When the last time ended, by `Date.now()`. */
  readonly endedAt?: number;
}

/** How a run ended. */
export interface Ending {
  readonly interruption?: Interruption;
  /** The pods after all scenarios; undefined where nothing looked. */
  readonly last?: LastSeen;
}

/** What the result says of the run as a whole. */
export interface RunFacts extends Pick<Ground, "handle" | "plan" | "skipped" | "refused" | "tool"> {
  readonly inputs?: Ground["inputs"];
  readonly meshReadyAt: number;
  readonly workloadsReadyAt: number;
  readonly command: string;
  /** Known failures, of the scenarios themselves and of a file. */
  readonly known?: readonly KnownFailureEntry[];
  /** The command that repeats a scenario, with {@link SCENARIO} in its id's place. */
  readonly repeat?: string;
}

/**
 * Puts together what was found of each scenario: late deaths are charged, what was interrupted is cut off, known failures are
 * excused, and all is counted.
 * @param scenarios all of the run, also those that could not run
 * @param recorded those that began
 */
export function gatherRun(
  facts: RunFacts,
  scenarios: readonly Scenario[],
  recorded: ReadonlyMap<string, Recorded>,
  { interruption, last }: Ending,
): RunResult {
  const { plan, skipped, refused, handle, tool, command } = facts;
  const ran = inRunOrder(scenarios).filter(({ id }) => !(id in skipped) && !(id in refused));
  const byId = new Map(ran.map((scenario) => [scenario.id, scenario]));
  const found = ran.map((scenario) => cut(interruption, scenario, resultOf(scenario, recorded.get(scenario.id))));
  const around = new Map(
    ran.flatMap(({ id }) => {
      const seen = recorded.get(id)?.around;
      return seen === undefined ? [] : [[id, seen] as const];
    }),
  );
  // Deaths of the last moments may not be published yet where nothing looked for them.
  const charged =
    last === undefined
      ? found.map((result) => cut(interruption, byId.get(result.id)!, result, PUBLISHED_MS))
      : around.size === 0
        ? found
        : chargeDeaths(found, around, last);
  const others = inRunOrder(scenarios).flatMap((scenario) => unableOf(facts, scenario) ?? []);
  const all = [...charged, ...others.filter(isRefused), ...others.filter((one) => !isRefused(one))].map((result) =>
    facts.repeat === undefined ? result : { ...result, repeat: facts.repeat.replace(SCENARIO, result.id) },
  );
  const verdicts = charged.flatMap(({ startedAt, steps: [first] }) =>
    first ? [Date.parse(startedAt) + first.timing.totalMs] : [],
  );
  const since = (at: number): number => Math.max(0, Math.round(at - plan.startedAt));
  const now = new Date();
  const result: RunResult = {
    schemaVersion: 2,
    id: plan.runId,
    tool: { name: "meshproof", version: tool.version },
    startedAt: new Date(plan.startedAt).toISOString(),
    finishedAt: now.toISOString(),
    command,
    cluster: handle.info,
    timing: {
      meshReadyMs: since(facts.meshReadyAt),
      workloadsReadyMs: since(facts.workloadsReadyAt),
      firstVerdictMs: verdicts.length === 0 ? 0 : since(Math.min(...verdicts)),
      totalMs: since(now.getTime()),
    },
    scenarios: all,
    counts: countOf(all),
    ...(interruption !== undefined && { interrupted: true as const }),
    ...(facts.inputs && { inputs: facts.inputs }),
  };
  return excuseRun(result, facts.known ?? [], new Date(plan.startedAt).toISOString().slice(0, 10));
}

/** The result of a scenario that cannot run on this cluster: skipped, or refused by the API server; undefined for any other. */
export function unableOf(
  { skipped, refused }: Pick<Ground, "skipped" | "refused">,
  scenario: Scenario,
): ScenarioResult | undefined {
  const finding = skipped[scenario.id];
  if (finding !== undefined) return unrun(scenario, "skipped", [finding]);
  const refusals = refused[scenario.id];
  if (refusals === undefined) return undefined;
  const findings = refusals.map((refusal) => ({ kind: "refused", refusal }) as const);
  return { ...unrun(scenario, "error", findings), refused: refusals };
}

const isRefused = ({ refused }: ScenarioResult): boolean => refused !== undefined;

/** The worst of all times that it ran: one that failed is not made good by another that passed. */
function resultOf(scenario: Scenario, recorded: Recorded | undefined): ScenarioResult {
  if (recorded === undefined) return unrun(scenario, "error", [{ kind: "not-finished", because: "not-begun" }]);
  const { results, complaint, endedAt = Date.now() } = recorded;
  const status = worst(results.map((result) => result.status));
  const found = results.find((result) => result.status === status);
  if (found !== undefined) return found;
  const said = complaint !== undefined && { said: complaint };
  const error = unrun(scenario, "error", [{ kind: "not-finished", because: "worker", ...said }]);
  return { ...error, startedAt: new Date(endedAt).toISOString() };
}
