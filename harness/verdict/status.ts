/**
 * Decides the statuses of steps and scenarios, applies known failures, and counts. The only module that orders, excuses or
 * counts statuses.
 */

import type { Excusing } from "../model/finding.ts";
import type { AnswerKind, KnownFailure } from "../model/known.ts";
import { isCheck, itemsOf, nameItem, type ItemResult } from "../model/items.ts";
import type {
  AdmissionResult,
  AskedResult,
  CheckResult,
  Counts,
  ScenarioResult,
  Status,
  StepResult,
} from "../model/result.ts";
import { explainedBy } from "./judge.ts";

/** The effect of a known failure on a check or scenario that it names. */
export type Excused = "excused" | "expired" | "other answer" | "passed" | "not judged";

/** All statuses, the worst first. A whole has the status of its worst part, and reports show the worst first. */
export const STATUSES: readonly Status[] = ["failed", "flaky", "error", "known-failure", "skipped", "passed"];

/** The worst of several statuses; passed if there are none. */
export function worst(statuses: readonly Status[]): Status {
  return STATUSES.find((status) => statuses.includes(status)) ?? "passed";
}

/** The status of a step: an error if the step itself has findings, since it could not be judged as a whole. */
export function statusOfStep(step: Pick<StepResult, "findings" | "checks" | "asked" | "admission">): Status {
  return step.findings === undefined ? worst(itemsOf(step).map(({ status }) => status)) : "error";
}

/** The status of a scenario: a skipped one stays skipped, and one with its own findings is an error. */
export function statusOfScenario({
  status,
  findings,
  steps,
}: Pick<ScenarioResult, "findings" | "steps"> & Partial<Pick<ScenarioResult, "status">>): Status {
  if (status === "skipped") return status;
  return findings === undefined ? worst(steps.map(({ status }) => status)) : "error";
}

/**
 * Turns failed and flaky checks that are known into known failures, and updates their steps and scenario. Called when
 * nothing changes a check's status any more. An error of the environment is never excused: nothing was judged.
 * @param today YYYY-MM-DD, UTC
 * @param tell called for each excuse at each thing that it names
 */
export function excuseScenario<E extends KnownFailure>(
  scenario: ScenarioResult,
  excuses: readonly E[],
  today: string,
  tell: (excuse: E, what: Excused) => void = () => undefined,
): ScenarioResult {
  if (scenario.steps.length === 0)
    for (const excuse of excuses) if (excuse.step === undefined) tell(excuse, stateOf(scenario.status));
  const decide = <T extends ItemResult>(item: T, step: string): T => {
    const name = nameItem(item);
    const named = excuses.filter((each) => (each.step ?? step) === step && (each.check ?? name) === name);
    if (item.status !== "failed" && item.status !== "flaky") {
      for (const excuse of named) tell(excuse, stateOf(item.status));
      return item;
    }
    const matching = named.filter((excuse) => wrongAnswersOf(item).some((wrong) => isGoodFor(excuse, item, wrong)));
    const valid = matching.filter(({ expires }) => expires >= today);
    // All of its wrong answers must be known, not only one.
    const isKnown = wrongAnswersOf(item).every((wrong) => valid.some((excuse) => isGoodFor(excuse, item, wrong)));
    for (const excuse of named) {
      const isValid = valid.includes(excuse);
      tell(
        excuse,
        !matching.includes(excuse) || (isValid && !isKnown) ? "other answer" : isValid ? "excused" : "expired",
      );
    }
    const [first] = valid;
    const explain = (kind: Excusing["kind"], { expires, owner, reason }: E): Pick<T, "findings" | "reason"> =>
      explainedBy([{ kind, until: expires, owner, reason }, ...(item.findings ?? [])]);
    if (isKnown && first !== undefined) return { ...item, status: "known-failure", ...explain("known-failure", first) };
    const [expired] = matching;
    if (expired !== undefined && first === undefined) return { ...item, ...explain("expired-known-failure", expired) };
    return item;
  };
  const steps = scenario.steps.map((step): StepResult => {
    const decided = {
      ...step,
      checks: step.checks.map((each) => decide(each, step.name)),
      asked: step.asked.map((each) => decide(each, step.name)),
      ...(step.admission && { admission: step.admission.map((each) => decide(each, step.name)) }),
    };
    return { ...decided, status: statusOfStep(decided) };
  });
  return { ...scenario, steps, status: statusOfScenario({ ...scenario, steps }) };
}

/** All wrong answers of a check; for anything else, one undefined. */
function wrongAnswersOf(item: ItemResult): readonly (AnswerKind | undefined)[] {
  if (!isCheck(item)) return [undefined];
  const { wrong = [], got, status } = item;
  // A failed check failed by its last answer, even if only the access log showed it.
  return status === "failed" || wrong.length === 0 ? [...wrong, got] : wrong;
}

/** Whether an excuse covers this answer. A request that must be denied and was admitted is excused only if the excuse names the answer. */
function isGoodFor(excuse: KnownFailure, item: ItemResult, wrong: AnswerKind | undefined): boolean {
  if (excuse.got !== undefined) return wrong?.status === excuse.got.status && wrong.by === excuse.got.by;
  return wrong === undefined || !isCheck(item) || !(isDenial(item) && wrong.by === "workload");
}

const isDenial = ({ expected }: CheckResult): boolean =>
  expected.by === "authentication" || expected.by === "authorization";

function stateOf(status: Status): Excused {
  if (status === "passed") return "passed";
  return status === "known-failure" ? "excused" : "not judged";
}

/** One item that counts: a check, who fetched keys, what the API server said, or a scenario as a whole. */
export interface Part {
  readonly status: Status;
  readonly step?: StepResult;
  readonly check?: CheckResult;
  readonly asked?: AskedResult;
  readonly admission?: AdmissionResult;
}

/**
 * The items of a scenario that count, in order. A skipped scenario counts once as a whole, and so does one with a status that
 * none of its checks has.
 */
export function partsOf(scenario: ScenarioResult): Part[] {
  const whole: Part = { status: scenario.status };
  if (scenario.status === "skipped") return [whole];
  const parts = scenario.steps.flatMap((step): Part[] => [
    ...step.checks.map((check) => ({ step, check, status: check.status })),
    ...step.asked.map((asked) => ({ step, asked, status: asked.status })),
    ...(step.admission ?? []).map((admission) => ({ step, admission, status: admission.status })),
  ]);
  const shown = scenario.status === "passed" || parts.some(({ status }) => status === scenario.status);
  return shown ? parts : [...parts, whole];
}

/** Counts by status. */
export function tally(parts: readonly Pick<Part, "status">[]): Counts {
  const counts: Record<Status, number> = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const { status } of parts) counts[status]++;
  return counts;
}

/** Counts the items of each scenario: see {@link partsOf}. */
export function countOf(scenarios: readonly ScenarioResult[]): Counts {
  return tally(scenarios.flatMap(partsOf));
}
