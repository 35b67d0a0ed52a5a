/** Counts the tests that a tool ran, from the last lines that it prints; its output goes straight to the screen. */

import { stripVTControlCharacters } from "node:util";

export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** Closing lines of `node --test` (spec: `ℹ pass 3`, TAP: `# pass 3`), Playwright (`  3 passed (2s)`) and meshproof (`3 passed, 0 failed`). */
const COUNT =
  /^(?:[ℹ#] (?<name>pass|fail|cancelled|skipped|todo) (?<after>\d+)|\s{2}(?<before>\d+) (?<word>passed|failed|flaky|skipped|did not run|interrupted)(?: \(.*\))?)$/gmu;
const SUMMARY = /^(?<passed>\d+) passed, (?<failed>\d+) failed(?:, (?<skipped>\d+) skipped)?$/gm;

/**
 * Adds up what the output of one tool counts.
 * @returns undefined if nothing in it counts
 */
export function readCounts(output: string): Counts | undefined {
  const text = stripVTControlCharacters(output);
  const summary = [...text.matchAll(SUMMARY)].at(-1)?.groups;
  if (summary !== undefined)
    return {
      passed: Number(summary["passed"]),
      failed: Number(summary["failed"]),
      skipped: Number(summary["skipped"] ?? 0),
    };
  const lines = [...text.matchAll(COUNT)].map(({ groups = {} }) => ({
    word: groups["name"] ?? groups["word"] ?? "",
    count: Number(groups["after"] ?? groups["before"]),
  }));
  if (lines.length === 0) return undefined;
  const sum = (...words: string[]): number =>
    lines.filter(({ word }) => words.includes(word)).reduce((total, { count }) => total + count, 0);
  return {
    passed: sum("pass", "passed"),
    failed: sum("fail", "failed", "flaky", "cancelled", "did not run", "interrupted"),
    skipped: sum("skipped", "todo"),
  };
}

/** A tool that failed has at least one failure, since it may have ended before its tests. A tool without counts is one test. */
export function judge(output: string, succeeded: boolean): Counts {
  const counts = readCounts(output) ?? { passed: succeeded ? 1 : 0, failed: 0, skipped: 0 };
  return succeeded ? counts : { ...counts, failed: Math.max(1, counts.failed) };
}

export function add(a: Counts, b: Counts): Counts {
  return { passed: a.passed + b.passed, failed: a.failed + b.failed, skipped: a.skipped + b.skipped };
}

/** The closing line: `3 passed, 0 failed`, `, 1 skipped` where something was. */
export function formatCounts({ passed, failed, skipped }: Counts): string {
  return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
}
