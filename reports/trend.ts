import type { Failing, Trend, TrendRun } from "../harness/model/trend.ts";
import { nameCell } from "./diff.ts";
import { escapeJson } from "./json.ts";
import { visible } from "../harness/safe/visible.ts";
import { alignColumns, formatDuration, plural } from "./text.ts";

/** The last line of a trend: `2 checks failing, the oldest since 2026-11-20`. */
export function describeTrend({ failing, runs }: Trend): string {
  const [oldest] = failing;
  const many = plural(runs.length, "run");
  return oldest === undefined
    ? `nothing fails in the latest of ${many}`
    : `${plural(failing.length, "check")} failing in the latest of ${many}, the oldest since ${dayOf(oldest.since.startedAt)}`;
}

/** `since 2026-11-20 (run …), 3 runs in a row`. */
export function describeSince({ since, lastPassed, runs }: Failing): string {
  const before = lastPassed === undefined ? "never passed in these runs" : `passed last in ${lastPassed.run}`;
  return `since ${dayOf(since.startedAt)} (${since.run}), ${plural(runs, "run")}, ${before}`;
}

export function dayOf(time: string): string {
  return time.slice(0, 10);
}

/** The versions that differ from the run before, as `Istio 1.30.0 -> 1.31.0`. */
export function describeNew(run: TrendRun, before: TrendRun | undefined): string {
  const names = { kubernetes: "Kubernetes", istio: "Istio", envoy: "Envoy", meshproof: "meshproof" } as const;
  const keys = Object.keys(names) as (keyof typeof names)[];
  if (before === undefined) return keys.map((key) => `${names[key]} ${run.versions[key]}`).join(", ");
  return keys
    .filter((key) => run.versions[key] !== before.versions[key])
    .map((key) => `${names[key]} ${before.versions[key]} -> ${run.versions[key]}`)
    .join(", ");
}

/** Formats for a terminal: what fails since when, and one line per run. */
export function formatTrend(trend: Trend): string {
  const failing = trend.failing.flatMap((each) => [
    `  ${each.scenario}  ${nameCell(each)}  (${each.position.file}:${each.position.line})`,
    `    ${each.status} ${describeSince(each)}`,
    ...(each.reason === undefined ? [] : [`    why  ${each.reason.slice(0, 400)}`]),
  ]);
  const head = ["run", "started", "passed", "failed", "flaky", "error", "enforced", "95 %", "versions"];
  const rows = trend.runs.map((run, index) => [
    run.interrupted === true ? `${run.run} (interrupted)` : run.run,
    run.startedAt.slice(0, 16).replace("T", " "),
    ...[run.counts.passed, run.counts.failed, run.counts.flaky, run.counts.error].map(String),
    ...[run.enforced?.medianMs, run.enforced?.p95Ms].map((ms) => (ms === undefined ? "-" : formatDuration(ms))),
    describeNew(run, trend.runs[index - 1]),
  ]);
  const lines = [
    ...(failing.length === 0 ? [] : ["Failing", ...failing, ""]),
    ...alignColumns([head, ...rows]),
    ...trend.leftOut.map((line) => `left out: ${line}`),
    "",
    describeTrend(trend),
  ];
  return lines.map((line) => visible(line)).join("\n");
}

export function formatTrendJson(trend: Trend): string {
  return `${escapeJson(JSON.stringify(trend, undefined, 2))}\n`;
}
