import type { Finding } from "../harness/model/finding.ts";
import type { AppliedObject, RunResult, ScenarioResult, StepResult } from "../harness/model/result.ts";
import { nameItem } from "../harness/model/items.ts";
import type { Position } from "../harness/model/scenario.ts";
import { partsOf, STATUSES, tally, type Part } from "../harness/verdict/status.ts";
import { describeAsked } from "./describe.ts";

export { STATUSES, tally as count };

/** One counted item, with its name in reports. */
export interface Outcome extends Part {
  readonly scenario: ScenarioResult;
  /** The item's name, unique in its scenario: `<step>: <check>`. */
  readonly name: string;
  readonly position: Position;
  readonly findings?: readonly Finding[];
  /** The findings as sentences. */
  readonly reason?: string;
}

/** The counted items of a scenario, with names and positions. */
export function outcomesOf(scenario: ScenarioResult): Outcome[] {
  return partsOf(scenario).map((part): Outcome => {
    const { step, check, asked, admission } = part;
    const { position, findings, reason } = check ?? asked ?? admission ?? scenario;
    const name = check?.name ?? (asked && describeAsked(asked)) ?? (admission && nameItem(admission));
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

/** Sorts scenarios by status, the worst first; keeps the run's order within each status. */
export function worstFirst(scenarios: readonly ScenarioResult[]): ScenarioResult[] {
  return STATUSES.flatMap((status) => scenarios.filter((scenario) => scenario.status === status));
}

/**
 * The exit code of a finished run: 0 conformant, 1 a check failed or flaked (a known failure past its date has failed), 2 the
 * only faults are scenarios whose manifests the API server rejected, 3 the environment was at fault.
 */
export function exitCode(result: RunResult): 0 | 1 | 2 | 3 {
  const { failed, flaky, error } = result.counts;
  if (failed + flaky > 0) return 1;
  if (error === 0) return result.interrupted === true ? 3 : 0;
  const inError = result.scenarios.filter(({ status }) => status === "error");
  return inError.length > 0 && inError.every(({ refused }) => refused !== undefined) ? 2 : 3;
}

/** An object that is in force during a step, and since when. */
export interface PolicyInForce {
  readonly object: AppliedObject;
  /** Index of the step that applied it, from 0. */
  readonly step: number;
}

/** The objects that were applied until the end of a step and not deleted. */
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
