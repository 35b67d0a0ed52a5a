/** Reads figures about speed from a run's results. */

import type { RunResult } from "../harness/model/result.ts";
import { formatDuration } from "../reports/text.ts";

/** The kind of a figure, which decides its format. */
export type Figure = "ms" | "rate" | "bytes";

export function formatFigure(figure: Figure, value: number): string {
  if (Number.isNaN(value)) return "";
  if (figure === "ms") return formatDuration(value);
  if (figure === "rate") return String(Math.round(value));
  return value < 1e9 ? `${Math.round(value / 1e6)} MB` : `${(value / 1e9).toFixed(1)} GB`;
}

/** How many times as much the medians of some values are as those of others: `4.2`; empty where one of them has none. */
export function ratioOf(values: readonly number[], others: readonly number[]): string {
  const ratio = quantile(values, 0.5) / quantile(others, 0.5);
  return Number.isFinite(ratio) ? ratio.toFixed(1) : "";
}

/** Milliseconds, except the rate. */
export interface Measures {
  readonly meshReady: number;
  readonly workloadsReady: number;
  readonly firstVerdict: number;
  readonly end: number;
  /** From the first scenario's beginning to the last one's end, changes of the mesh setting included. */
  readonly scenarios: number;
  readonly scenarioMedian: number;
  readonly stepMedian: number;
  readonly stepP95: number;
  /** From the end of `apply` until the first of the final agreeing answers; only checks of steps that changed something. */
  readonly enforcedMedian: number;
  readonly enforcedP95: number;
  /** Requests a second while probing: each check is sent once a round. */
  readonly requestsPerSecond: number;
}

export function measure({ timing, scenarios }: RunResult): Measures {
  const steps = scenarios.flatMap((scenario) => scenario.steps);
  const durations = steps.map((step) => step.timing.totalMs);
  const enforced = enforcementOf(scenarios);
  const ran = scenarios.filter((scenario) => scenario.steps.length > 0);
  const begins = ran.map(({ startedAt }) => Date.parse(startedAt));
  const ends = ran.map(({ durationMs }, index) => (begins[index] as number) + durationMs);
  const requests = sum(steps.map((step) => step.checks.length * step.rounds));
  return {
    meshReady: timing.meshReadyMs,
    workloadsReady: timing.workloadsReadyMs,
    firstVerdict: timing.firstVerdictMs,
    end: timing.totalMs,
    scenarios: Math.max(...ends) - Math.min(...begins),
    scenarioMedian: quantile(
      scenarios.map((scenario) => scenario.durationMs),
      0.5,
    ),
    stepMedian: quantile(durations, 0.5),
    stepP95: quantile(durations, 0.95),
    enforcedMedian: quantile(enforced, 0.5),
    enforcedP95: quantile(enforced, 0.95),
    requestsPerSecond: (requests / sum(steps.map((step) => step.timing.probeMs))) * 1000,
  };
}

/** Milliseconds until each check was enforced, of the steps that changed something. */
export function enforcementOf(scenarios: RunResult["scenarios"]): number[] {
  return scenarios
    .flatMap(({ steps }) => steps)
    .filter((step) => step.objects.length > 0)
    .flatMap((step) => step.checks.map((check) => check.enforcedMs));
}

/** The nearest-rank quantile; NaN of nothing. */
export function quantile(values: readonly number[], q: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(q * sorted.length) - 1)] ?? NaN;
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
