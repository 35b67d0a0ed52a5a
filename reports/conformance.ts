import { stringify } from "yaml";
import type { Counts, RunResult, ScenarioResult } from "../harness/model/result.ts";
import type { Level } from "../harness/model/scenario.ts";
import { count, outcomesOf } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import { visible } from "../harness/safe/visible.ts";
import { notesOf } from "./describe.ts";

type ProfileResult = "success" | "partial" | "failure";

/**
 * A ConformanceReport in YAML, modelled on that of the Gateway API (conformance/apis/v1/conformancereport.go): a profile per
 * group of scenarios with statistics for core and extended, and failed and skipped tests with reasons. Known failures are
 * listed separately, with their owner and date. Provisional scenarios do not count for a profile's result.
 */
export function formatConformance(result: RunResult): string {
  const prepared = prepare(result);
  const { cluster, tool } = prepared;
  const notes = notesOf(prepared);
  const report = {
    apiVersion: "meshproof.dev/v1alpha1",
    kind: "ConformanceReport",
    date: prepared.finishedAt,
    meshproofVersion: tool.version,
    run: prepared.id,
    implementation: {
      project: "istio",
      version: cluster.versions.istio,
      versions: cluster.versions,
      cluster: { kind: cluster.kind, ...(cluster.rootless === undefined ? {} : { rootless: cluster.rootless }) },
      digests: cluster.digests,
    },
    howToReproduce: prepared.command,
    ...(prepared.interrupted === true ? { interrupted: true } : {}),
    ...(notes.length === 0 ? {} : { notes }),
    profiles: groups(prepared.scenarios).map(([group, scenarios]) => profile(group, scenarios)),
  };
  return stringify(makeVisible(report), { lineWidth: 0, aliasDuplicateObjects: false });
}

function groups(scenarios: readonly ScenarioResult[]): [string, ScenarioResult[]][] {
  return [...Map.groupBy(scenarios, (scenario) => scenario.id.split("/")[0] ?? scenario.id)];
}

function profile(name: string, scenarios: readonly ScenarioResult[]): object {
  const of = (level: Level) => scenarios.filter((scenario) => scenario.level === level);
  const levels = { core: of("core"), extended: of("extended"), provisional: of("provisional") };
  return {
    name,
    ...(levels.core.length > 0 ? { core: section(levels.core) } : {}),
    ...(levels.extended.length > 0 ? { extended: section(levels.extended) } : {}),
    ...(levels.provisional.length > 0 ? { provisional: section(levels.provisional) } : {}),
    summary: summary(levels),
  };
}

function section(scenarios: readonly ScenarioResult[]): object {
  const passed = scenarios.filter(({ status }) => status === "passed");
  const skipped = scenarios.filter(({ status }) => status === "skipped");
  const known = scenarios.filter(({ status }) => status === "known-failure");
  const failed = scenarios.filter(({ status }) => status === "failed" || status === "flaky" || status === "error");
  return {
    result: resultOf(scenarios),
    statistics: {
      Passed: passed.length,
      Failed: failed.length,
      Skipped: skipped.length,
      KnownFailures: known.length,
    },
    checks: checks(scenarios),
    ...(failed.length > 0 ? { failedTests: failed.map(describeTest) } : {}),
    ...(skipped.length > 0 ? { skippedTests: skipped.map(describeTest) } : {}),
    ...(known.length > 0 ? { knownFailures: known.map(describeTest) } : {}),
    passedTests: passed.map(({ id }) => id),
  };
}

/** The Gateway API's terms: `partial` means that nothing failed but something was left out. */
function resultOf(scenarios: readonly ScenarioResult[]): ProfileResult {
  if (scenarios.some(({ status }) => status === "failed" || status === "flaky" || status === "error")) return "failure";
  return scenarios.every(({ status }) => status === "passed") ? "success" : "partial";
}

function checks(scenarios: readonly ScenarioResult[]): Partial<Counts> {
  return Object.fromEntries(Object.entries(count(scenarios.flatMap(outcomesOf))).filter(([, n]) => n > 0));
}

function describeTest(scenario: ScenarioResult): object {
  const outcomes = outcomesOf(scenario);
  const worst = outcomes.find(({ status, reason }) => status === scenario.status && reason !== undefined);
  const disagreeing = outcomes.filter(({ status, step }) => status !== "passed" && step !== undefined);
  return {
    name: scenario.id,
    status: scenario.status,
    reason: scenario.reason ?? worst?.reason ?? "no reason was given",
    ...(disagreeing.length > 0 ? { checks: disagreeing.slice(0, 50).map(({ name }) => name) } : {}),
    ...(disagreeing.length > 50 ? { moreChecks: disagreeing.length - 50 } : {}),
  };
}

function summary(levels: Record<Level, readonly ScenarioResult[]>): string {
  const words = { success: "succeeded", partial: "succeeded with some left out", failure: "failed" };
  return (Object.entries(levels) as [Level, readonly ScenarioResult[]][])
    .filter(([, scenarios]) => scenarios.length > 0)
    .map(([level, scenarios]) => `${level[0]?.toUpperCase()}${level.slice(1)} scenarios ${words[resultOf(scenarios)]}.`)
    .join(" ");
}

function makeVisible(value: unknown): unknown {
  if (typeof value === "string") return visible(value);
  if (Array.isArray(value)) return value.map(makeVisible);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [visible(key), makeVisible(inner)]));
}
