/**
 * results.json of schema version 1, which had sentences instead of findings: `diff` and `trend` read it still. What a proxy's config
 * said is left out, since nothing that reads such a file shows it. What disagreed in a known failure was marked in the scenario alone.
 */

import type { RecordedText } from "../harness/model/finding.ts";
import type {
  AppliedObject,
  AskedResult,
  CheckResult,
  RunResult,
  ScenarioResult,
  Status,
  StepResult,
} from "../harness/model/result.ts";

type ObjectOf1 = Omit<AppliedObject, "findings"> & { readonly note?: string };
type CheckOf1 = Omit<CheckResult, "findings" | "explanation"> & { readonly explanation?: string };
type StepOf1 = Omit<StepResult, "findings" | "objects" | "checks" | "asked"> & {
  readonly objects: readonly ObjectOf1[];
  readonly checks: readonly CheckOf1[];
  readonly asked: readonly Omit<AskedResult, "findings">[];
  readonly foreign?: readonly string[];
};
type ScenarioOf1 = Omit<ScenarioResult, "findings" | "steps"> & { readonly steps: readonly StepOf1[] };

export interface ResultOf1 extends Omit<RunResult, "schemaVersion" | "scenarios"> {
  readonly schemaVersion: 1;
  readonly scenarios: readonly ScenarioOf1[];
}

export function upgradeResult(result: ResultOf1): RunResult {
  return {
    ...result,
    schemaVersion: 2,
    scenarios: result.scenarios.map((scenario) => ({
      ...withFindings(scenario),
      steps: scenario.steps.map(({ foreign: _foreign, ...step }) => ({
        ...known(scenario, withFindings(step)),
        objects: step.objects.map(({ note, ...object }) => ({ ...object, ...recorded(note) })),
        checks: step.checks.map(({ explanation: _explanation, ...check }) => known(scenario, withFindings(check))),
        asked: step.asked.map((asked) => known(scenario, withFindings(asked))),
      })),
    })),
  };
}

function known<T extends { readonly status: Status }>(scenario: ScenarioOf1, item: T): T {
  const excused = scenario.status === "known-failure" && (item.status === "failed" || item.status === "flaky");
  return excused ? { ...item, status: "known-failure" } : item;
}

function withFindings<T extends { readonly reason?: string }>(item: T): T & { findings?: readonly RecordedText[] } {
  return { ...item, ...recorded(item.reason) };
}

function recorded(text: string | undefined): { readonly findings?: readonly RecordedText[] } {
  return text === undefined ? {} : { findings: [{ kind: "recorded", text }] };
}
