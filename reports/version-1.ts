/**
 * Converts results.json of schema version 1, which had sentences instead of findings, for `diff` and `trend`. Explanations by a
 * proxy's config are dropped, since those commands do not show them. A known failure was marked only in its scenario.
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
type CheckOf1 = Omit<CheckResult, "findings" | "explanation" | "request"> & {
  readonly explanation?: string;
  readonly request: Omit<CheckResult["request"], "tokens"> & { readonly token: string };
};
type StepOf1 = Omit<StepResult, "findings" | "objects" | "checks" | "asked"> & {
  readonly objects: readonly ObjectOf1[];
  readonly checks: readonly CheckOf1[];
  readonly asked: readonly Omit<AskedResult, "findings">[];
  readonly foreign?: readonly string[];
};
type ScenarioOf1 = Omit<ScenarioResult, "findings" | "steps"> & { readonly steps: readonly StepOf1[] };

export interface ResultOf1 extends Omit<RunResult, "schemaVersion" | "scenarios" | "notes"> {
  readonly schemaVersion: 1;
  readonly notes?: readonly string[];
  readonly scenarios: readonly ScenarioOf1[];
}

export function upgradeResult({ notes, ...result }: ResultOf1): RunResult {
  return {
    ...result,
    schemaVersion: 2,
    ...(notes && { notes: notes.map((text) => ({ kind: "recorded" as const, text })) }),
    scenarios: result.scenarios.map((scenario) => ({
      ...withFindings(scenario),
      steps: scenario.steps.map(({ foreign: _foreign, ...step }) => ({
        ...known(scenario, withFindings(step)),
        objects: step.objects.map(({ note, ...object }) => ({ ...object, ...recorded(note) })),
        checks: step.checks.map(({ explanation: _explanation, ...check }) =>
          known(scenario, withTokens(withFindings(check))),
        ),
        asked: step.asked.map((asked) => known(scenario, withFindings(asked))),
      })),
    })),
  };
}

function known<T extends { readonly status: Status }>(scenario: ScenarioOf1, item: T): T {
  const excused = scenario.status === "known-failure" && (item.status === "failed" || item.status === "flaky");
  return excused ? { ...item, status: "known-failure" } : item;
}

function withTokens<T extends CheckOf1>({ request: { token, ...request }, ...check }: T) {
  const tokens = token === "none" || token === "no token" ? [] : [{ name: "token", words: token }];
  return { ...check, request: { ...request, tokens } };
}

function withFindings<T extends { readonly reason?: string }>(item: T): T & { findings?: readonly RecordedText[] } {
  return { ...item, ...recorded(item.reason) };
}

function recorded(text: string | undefined): { readonly findings?: readonly RecordedText[] } {
  return text === undefined ? {} : { findings: [{ kind: "recorded", text }] };
}
