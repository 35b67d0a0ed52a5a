/**
 * Decides statuses: that of a step and of a scenario from what was found, what a known failure excuses, and what counts. The only
 * place that orders, excuses or counts them.
 */

import type { Excusing } from "../model/finding.ts";
import type { AnswerKind, KnownFailure } from "../model/known.ts";
import type { AskedResult, CheckResult, Counts, ScenarioResult, Status, StepResult } from "../model/result.ts";
import { explainedBy } from "./judge.ts";

/** What became of an excuse at something that it names. */
export type Excused = "excused" | "expired" | "other answer" | "passed" | "not judged";

/** All statuses, the worst first. A whole is as bad as its worst part, and reports show the worst first. */
export const STATUSES: readonly Status[] = ["failed", "flaky", "error", "known-failure", "skipped", "passed"];

/** The worst of several statuses; passed where there are none. */
export function worst(statuses: readonly Status[]): Status {
  return STATUSES.find((status) => statuses.includes(status)) ?? "passed";
}

/** The status of a step: an error where it has findings of its own, since it could not be judged as a whole. */
export function statusOfStep({ findings, checks, asked }: Pick<StepResult, "findings" | "checks" | "asked">): Status {
  return findings === undefined ? worst([...checks, ...asked].map(({ status }) => status)) : "error";
}

/** The status of a scenario: one that was skipped stays so, and one with findings of its own is an error. */
export function statusOfScenario({
  status,
  findings,
  steps,
}: Pick<ScenarioResult, "findings" | "steps"> & Partial<Pick<ScenarioResult, "status">>): Status {
  if (status === "skipped") return status;
  return findings === undefined ? worst(steps.map(({ status }) => status)) : "error";
}

/**
 * Makes failed and flaky checks that are known into known failures, and their steps and scenario accordingly. Called when
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
  const decide = <T extends CheckResult | AskedResult>(item: T, step: string, name: string): T => {
    const named = excuses.filter((each) => (each.step ?? step) === step && (each.check ?? name) === name);
    if (item.status !== "failed" && item.status !== "flaky") {
      for (const excuse of named) tell(excuse, stateOf(item.status));
      return item;
    }
    const matching = named.filter((excuse) => wrongAnswersOf(item).some((wrong) => isGoodFor(excuse, item, wrong)));
    const valid = matching.filter(({ expires }) => expires >= today);
    // Each of its wrong answers must be known, and not one of them only.
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
    const checks = step.checks.map((check) => decide(check, step.name, check.name));
    const asked = step.asked.map((each) => decide(each, step.name, `${each.server} asked by ${each.expected}`));
    return { ...step, checks, asked, status: statusOfStep({ ...step, checks, asked }) };
  });
  return { ...scenario, steps, status: statusOfScenario({ ...scenario, steps }) };
}

/** Everything that a check got although it must not; one undefined for who was asked by whom. */
function wrongAnswersOf(item: CheckResult | AskedResult): readonly (AnswerKind | undefined)[] {
  if (!isCheck(item)) return [undefined];
  const { wrong = [], got, status } = item;
  // What failed has failed by its last answer, also where only the access log showed it.
  return status === "failed" || wrong.length === 0 ? [...wrong, got] : wrong;
}

/** Whether an excuse is good for this answer: a request that must be refused and was let through is never excused by the way. */
function isGoodFor(excuse: KnownFailure, item: CheckResult | AskedResult, wrong: AnswerKind | undefined): boolean {
  if (excuse.got !== undefined) return wrong?.status === excuse.got.status && wrong.by === excuse.got.by;
  return wrong === undefined || !isCheck(item) || !(isDenial(item) && wrong.by === "workload");
}

const isCheck = (item: CheckResult | AskedResult): item is CheckResult => "request" in item;

const isDenial = ({ expected }: CheckResult): boolean =>
  expected.by === "authentication" || expected.by === "authorization";

function stateOf(status: Status): Excused {
  if (status === "passed") return "passed";
  return status === "known-failure" ? "excused" : "not judged";
}

/** One thing that counts: a check, who fetched keys, or a scenario as a whole. */
export interface Part {
  readonly status: Status;
  readonly step?: StepResult;
  readonly check?: CheckResult;
  readonly asked?: AskedResult;
}

/**
 * Everything in a scenario that counts, in its own order. A scenario that is skipped counts once as a whole; one with a status
 * that none of its checks shows counts as a whole too.
 */
export function partsOf(scenario: ScenarioResult): Part[] {
  const whole: Part = { status: scenario.status };
  if (scenario.status === "skipped") return [whole];
  const parts = scenario.steps.flatMap((step): Part[] => [
    ...step.checks.map((check) => ({ step, check, status: check.status })),
    ...step.asked.map((asked) => ({ step, asked, status: asked.status })),
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

/** Counts what counts in each scenario: see {@link partsOf}. */
export function countOf(scenarios: readonly ScenarioResult[]): Counts {
  return tally(scenarios.flatMap(partsOf));
}
