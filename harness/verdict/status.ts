/** What a scenario's status is in the end, with known failures excused. The one place that excuses, whoever knows of the failure. */

import type { Excusing } from "../model/finding.ts";
import type { AskedResult, CheckResult, Counts, ScenarioResult, Status, StepResult } from "../model/result.ts";
import { explainedBy } from "./judge.ts";

/** An answer in short. */
export type AnswerKind = Pick<CheckResult["got"], "status" | "by">;

/** A failure that somebody knows and answers for. */
export interface Excuse {
  /** With `check` only that check, with `step` alone only that step. */
  readonly step?: string;
  readonly check?: string;
  /** The only answer that it excuses; without it, any but one that was admitted and must be refused. */
  readonly got?: AnswerKind;
  /** The last day (YYYY-MM-DD, UTC) on which it excuses. */
  readonly expires: string;
  readonly owner?: string;
  readonly reason: string;
}

/** What became of an excuse at something that it names. */
export type Excused = "excused" | "expired" | "other answer" | "passed" | "not judged";

/** How bad a status is: a whole is as bad as its worst part. */
const WORST_FIRST: readonly Status[] = ["error", "failed", "flaky", "known-failure", "skipped"];

/** The status of a whole from its parts. */
export function worst(statuses: readonly Status[]): Status {
  return WORST_FIRST.find((status) => statuses.includes(status)) ?? "passed";
}

/**
 * Makes failed and flaky checks that are known into known failures, and their steps and scenario accordingly. Called when
 * nothing changes a check's status any more. An error of the environment is never excused: nothing was judged.
 * @param today YYYY-MM-DD, UTC
 * @param tell called for each excuse at each thing that it names
 */
export function excuseScenario<E extends Excuse>(
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
    const explain = (kind: Excusing["kind"], by: E): Pick<T, "findings" | "reason"> =>
      explainedBy([excusing(kind, by), ...(item.findings ?? [])]);
    if (isKnown && first !== undefined) return { ...item, status: "known-failure", ...explain("known-failure", first) };
    const [expired] = matching;
    if (expired !== undefined && first === undefined) return { ...item, ...explain("expired-known-failure", expired) };
    return item;
  };
  const steps = scenario.steps.map((step): StepResult => {
    const checks = step.checks.map((check) => decide(check, step.name, check.name));
    const asked = step.asked.map((each) => decide(each, step.name, `${each.server} asked by ${each.expected}`));
    const parts = [...checks, ...asked].map(({ status }) => status);
    // A step in error may have no checks that say so.
    return { ...step, checks, asked, status: step.status === "error" ? "error" : worst(parts) };
  });
  const whole = scenario.status === "error" || scenario.status === "skipped";
  return { ...scenario, steps, status: whole ? scenario.status : worst(steps.map(({ status }) => status)) };
}

export function excusing(kind: Excusing["kind"], { expires, owner, reason }: Excuse): Excusing {
  return { kind, until: expires, ...(owner !== undefined && { owner }), reason };
}

/** Everything that a check got although it must not; one undefined for who was asked by whom. */
function wrongAnswersOf(item: CheckResult | AskedResult): readonly (AnswerKind | undefined)[] {
  if (!isCheck(item)) return [undefined];
  const { wrong = [], got, status } = item;
  // What failed has failed by its last answer, also where only the access log showed it.
  return status === "failed" || wrong.length === 0 ? [...wrong, got] : wrong;
}

/** Whether an excuse is good for this answer: a request that must be refused and was let through is never excused by the way. */
function isGoodFor(excuse: Excuse, item: CheckResult | AskedResult, wrong: AnswerKind | undefined): boolean {
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

/** The status that counts: in a known failure, what disagreed is known. */
export function knownOr(scenario: Pick<ScenarioResult, "status">, status: Status): Status {
  return scenario.status === "known-failure" && (status === "failed" || status === "flaky") ? "known-failure" : status;
}

/** Counts checks; a scenario that is skipped, or has a status that none of its checks shows, counts once more as a whole. */
export function countOf(scenarios: readonly ScenarioResult[]): Counts {
  const counts: Record<Status, number> = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const status of scenarios.flatMap(statusesOf)) counts[status]++;
  return counts;
}

function statusesOf(scenario: ScenarioResult): Status[] {
  if (scenario.status === "skipped") return ["skipped"];
  const parts = scenario.steps.flatMap((step) => [...step.checks, ...step.asked]);
  const statuses = parts.map(({ status }) => knownOr(scenario, status));
  return scenario.status === "passed" || statuses.includes(scenario.status) ? statuses : [...statuses, scenario.status];
}
