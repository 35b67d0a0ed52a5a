/**
 * results.json of schema version 1, which had sentences instead of findings: `diff` and `trend` read it still. What a proxy's config
 * said is left out, since nothing that reads such a file shows it.
 */

import type { ObjectFinding } from "../harness/model/finding.ts";
import type { AppliedObject, CheckResult, RunResult, ScenarioResult, StepResult } from "../harness/model/result.ts";

type ObjectOf1 = Omit<AppliedObject, "findings"> & { readonly note?: string };
type CheckOf1 = Omit<CheckResult, "explanation"> & { readonly explanation?: string };
type StepOf1 = Omit<StepResult, "objects" | "checks" | "foreign"> & {
  readonly objects: readonly ObjectOf1[];
  readonly checks: readonly CheckOf1[];
  readonly foreign?: readonly string[];
};
type ScenarioOf1 = Omit<ScenarioResult, "steps"> & { readonly steps: readonly StepOf1[] };

export interface ResultOf1 extends Omit<RunResult, "schemaVersion" | "scenarios"> {
  readonly schemaVersion: 1;
  readonly scenarios: readonly ScenarioOf1[];
}

export function upgradeResult(result: ResultOf1): RunResult {
  return {
    ...result,
    schemaVersion: 2,
    scenarios: result.scenarios.map((scenario) => ({
      ...scenario,
      steps: scenario.steps.map(({ foreign, ...step }) => ({
        ...step,
        ...(foreign && { foreign: true as const }),
        objects: step.objects.map(({ note, ...object }) => ({ ...object, ...(note !== undefined && recorded(note)) })),
        checks: step.checks.map(({ explanation: _explanation, ...check }) => check),
      })),
    })),
  };
}

function recorded(text: string): { readonly findings: readonly ObjectFinding[] } {
  return { findings: [{ kind: "recorded", text }] };
}
