/** Computes a trend from many runs: what fails since when, and how long enforcing took. Pure. */

import { entriesOf } from "../compare/compare.ts";
import type { Cell, Seen } from "../model/comparison.ts";
import { unfinishedOf, type RunResult } from "../model/result.ts";
import type { Failing, Trend, TrendRun } from "../model/trend.ts";

/** A result, with the folder that it was read from. */
export interface PlacedRun {
  readonly folder: string;
  readonly result: RunResult;
}

export function findTrend(placed: readonly PlacedRun[], leftOut: readonly string[] = []): Trend {
  const runs = [...placed].sort((a, b) => a.result.startedAt.localeCompare(b.result.startedAt));
  // Scenarios that an interrupted run did not finish do not count.
  const entries = runs.map(({ result }) => {
    const unfinished = unfinishedOf(result);
    return entriesOf({ ...result, scenarios: result.scenarios.filter((scenario) => !unfinished.includes(scenario)) });
  });
  const cells = new Map(entries.flatMap((each) => [...each].map(([key, { cell }]) => [key, cell])));
  const failing = [...cells].flatMap(([key, cell]) => {
    const seen = entries.map((each) => each.get(key)?.seen);
    return failingOf(cell, seen, runs) ?? [];
  });
  // Do not list a scenario in error whose checks are listed already.
  const told = failing.filter(
    ({ scenario, step, status }) =>
      step !== undefined ||
      !failing.some((other) => other.scenario === scenario && other.step !== undefined && other.status === status),
  );
  return {
    schemaVersion: 1,
    runs: runs.map(pointOf),
    failing: told.sort((a, b) => a.since.startedAt.localeCompare(b.since.startedAt) || b.runs - a.runs),
    leftOut,
  };
}

const isBad = (seen: Seen | undefined): boolean =>
  seen?.status === "failed" || seen?.status === "flaky" || seen?.status === "error";
const isJudged = (seen: Seen | undefined): boolean => isBad(seen) || seen?.status === "passed";

function failingOf(cell: Cell, seen: readonly (Seen | undefined)[], runs: readonly PlacedRun[]): Failing | undefined {
  const last = seen.findLastIndex((each) => each?.status === "known-failure" || isJudged(each));
  const latest = seen[last];
  if (latest === undefined || !isBad(latest)) return undefined;
  // If a later run judged the scenario without this check, the check is gone. A run without the scenario, or with it skipped or in
  // error, does not count.
  const isGone = runs.slice(last + 1).some(({ result }) => {
    const status = result.scenarios.find(({ id }) => id === cell.scenario)?.status;
    return status !== undefined && status !== "skipped" && status !== "error";
  });
  if (isGone) return undefined;
  const passed = seen.findLastIndex((each) => each?.status === "passed");
  const first = seen.findIndex((each, index) => index > passed && isBad(each));
  const at = (index: number): { run: string; startedAt: string } => ({
    run: runs[index]?.result.id ?? "",
    startedAt: runs[index]?.result.startedAt ?? "",
  });
  return {
    ...cell,
    status: latest.status,
    ...(latest.reason === undefined ? {} : { reason: latest.reason }),
    since: at(first),
    ...(passed < 0 ? {} : { lastPassed: at(passed) }),
    runs: seen.slice(first).filter(isBad).length,
    history: seen.map((each) => each?.status ?? "absent"),
  };
}

function pointOf({ folder, result }: PlacedRun): TrendRun {
  const { kubernetes, istio, envoy } = result.cluster.versions;
  const times = result.scenarios
    .flatMap(({ steps }) => steps.flatMap(({ checks }) => checks))
    // For a check that never agreed it is only the waiting time.
    .flatMap(({ status, enforcedMs }) => (status === "passed" || status === "flaky" ? [enforcedMs] : []))
    .sort((a, b) => a - b);
  const quantile = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0;
  return {
    run: result.id,
    startedAt: result.startedAt,
    folder,
    versions: { kubernetes, istio, envoy, meshproof: result.tool.version },
    counts: result.counts,
    ...(result.interrupted === true ? { interrupted: true as const } : {}),
    ...(times.length === 0 ? {} : { enforced: { medianMs: quantile(0.5), p95Ms: quantile(0.95) } }),
  };
}
