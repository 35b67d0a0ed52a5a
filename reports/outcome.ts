import type { Finding } from "../harness/model/finding.ts";
import type {
  AppliedObject,
  AskedResult,
  CheckResult,
  Counts,
  RunResult,
  ScenarioResult,
  Status,
  StepResult,
} from "../harness/model/result.ts";
import type { Position } from "../harness/model/scenario.ts";
import { knownOr } from "../harness/verdict/status.ts";
import { describeAsked } from "./describe.ts";

export { knownOr };

/** Worst first: the order in which every report tells. */
export const statuses: readonly Status[] = ["failed", "flaky", "error", "known-failure", "skipped", "passed"];

/** One thing that counts: a check, an asked-check, or a scenario that was skipped or broke outside its checks. */
export interface Outcome {
  readonly scenario: ScenarioResult;
  readonly step?: StepResult;
  readonly check?: CheckResult;
  readonly asked?: AskedResult;
  readonly status: Status;
  /** In words, unique in its scenario: `<step>: <check>`. */
  readonly name: string;
  readonly position: Position;
  readonly findings?: readonly Finding[];
  /** The findings in words. */
  readonly reason?: string;
}

/**
 * Everything in a scenario that counts, in its own order. A skipped scenario is one outcome. An error that no check shows
 * is an outcome of its own. In a known failure whatever disagreed is known.
 */
export function outcomesOf(scenario: ScenarioResult): Outcome[] {
  const whole = (): Outcome => ({
    scenario,
    status: scenario.status,
    name: scenario.title,
    position: scenario.position,
    ...(scenario.findings && { findings: scenario.findings }),
    ...(scenario.reason === undefined ? {} : { reason: scenario.reason }),
  });
  if (scenario.status === "skipped") return [whole()];
  const outcomes = scenario.steps.flatMap((step) => [
    ...step.checks.map((check) => outcomeOf(scenario, step, check, check.name, { check })),
    ...step.asked.map((asked) => outcomeOf(scenario, step, asked, describeAsked(asked), { asked })),
  ]);
  const shown = scenario.status === "passed" || outcomes.some((outcome) => outcome.status === scenario.status);
  return shown ? outcomes : [...outcomes, whole()];
}

function outcomeOf(
  scenario: ScenarioResult,
  step: StepResult,
  result: CheckResult | AskedResult,
  name: string,
  which: { check: CheckResult } | { asked: AskedResult },
): Outcome {
  return {
    scenario,
    step,
    ...which,
    status: knownOr(scenario, result.status),
    name: `${step.name}: ${name}`,
    position: result.position,
    ...(result.findings && { findings: result.findings }),
    ...(result.reason === undefined ? {} : { reason: result.reason }),
  };
}

/** Scenarios with what needs attention first; the order of the run within each status. */
export function worstFirst(scenarios: readonly ScenarioResult[]): ScenarioResult[] {
  return statuses.flatMap((status) => scenarios.filter((scenario) => scenario.status === status));
}

/** Counts outcomes by status. */
export function count(outcomes: readonly Outcome[]): Counts {
  const counts = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const outcome of outcomes) counts[outcome.status] += 1;
  return counts;
}

/**
 * The exit code of a finished run: 0 conformant, 1 a check failed or flaked (a known failure past its date has failed), 2 all
 * that is wrong are scenarios whose manifests the API server refused, 3 the environment was at fault.
 */
export function exitCode(result: RunResult): 0 | 1 | 2 | 3 {
  const { failed, flaky, error } = result.counts;
  if (failed + flaky > 0) return 1;
  if (error === 0) return result.interrupted === true ? 3 : 0;
  const inError = result.scenarios.filter(({ status }) => status === "error");
  return inError.length > 0 && inError.every(({ refused }) => refused !== undefined) ? 2 : 3;
}

/** An object in force during a step, and since when. */
export interface PolicyInForce {
  readonly object: AppliedObject;
  /** The step that applied it, counted from 0. */
  readonly step: number;
}

/** What has been applied by the end of a step and not deleted since. */
export function policiesInForce(scenario: ScenarioResult, step: StepResult): PolicyInForce[] {
  const inForce = new Map<string, PolicyInForce>();
  for (const [index, each] of scenario.steps.entries()) {
    for (const object of each.objects) {
      const key = `${object.kind} ${object.namespace}/${object.name}`;
      inForce.delete(key);
      if (object.verb === "apply") inForce.set(key, { object, step: index });
    }
    if (each === step) break;
  }
  return [...inForce.values()];
}
