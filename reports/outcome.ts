import type { Finding } from "../harness/model/finding.ts";
import type { AppliedObject, RunResult, ScenarioResult, StepResult } from "../harness/model/result.ts";
import type { Position } from "../harness/model/scenario.ts";
import { partsOf, STATUSES, tally, type Part } from "../harness/verdict/status.ts";
import { describeAsked } from "./describe.ts";

export { STATUSES, tally as count };

/** One thing that counts, as reports name it. */
export interface Outcome extends Part {
  readonly scenario: ScenarioResult;
  /** In words, unique in its scenario: `<step>: <check>`. */
  readonly name: string;
  readonly position: Position;
  readonly findings?: readonly Finding[];
  /** The findings in words. */
  readonly reason?: string;
}

/** Everything in a scenario that counts, with its name and place. */
export function outcomesOf(scenario: ScenarioResult): Outcome[] {
  return partsOf(scenario).map((part): Outcome => {
    const { step, check, asked } = part;
    const { position, findings, reason } = check ?? asked ?? scenario;
    const name = check?.name ?? (asked && describeAsked(asked));
    return {
      scenario,
      ...part,
      name: step === undefined ? scenario.title : `${step.name}: ${name}`,
      position,
      ...(findings && { findings }),
      ...(reason === undefined ? {} : { reason }),
    };
  });
}

/** Scenarios with what needs attention first; the order of the run within each status. */
export function worstFirst(scenarios: readonly ScenarioResult[]): ScenarioResult[] {
  return STATUSES.flatMap((status) => scenarios.filter((scenario) => scenario.status === status));
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
