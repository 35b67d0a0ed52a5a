/** Problems of a scenario or one of its manifests, with their positions. */

import { MeshproofError } from "../model/errors.ts";
import { visible } from "../safe/visible.ts";
import type { Position } from "../model/scenario.ts";

export interface Problem {
  readonly position: Position;
  /** The expected and the found value, one sentence without a full stop. */
  readonly message: string;
  /** How to fix it. */
  readonly hint?: string;
}

/** `scenarios/x/y/scenario.yaml:20:7 unknown key "colums" in checks; did you mean "columns"?` */
export function formatProblem({ position, message, hint }: Problem): string {
  // A key of a scenario may contain a line feed.
  return visible(
    `${position.file}:${position.line}:${position.column} ${message}${hint === undefined ? "" : `; ${hint}`}`,
  );
}

/** Sorts problems by file, then by line. */
export function sortProblems(problems: readonly Problem[]): Problem[] {
  return problems.toSorted(
    (a, b) =>
      a.position.file.localeCompare(b.position.file) ||
      a.position.line - b.position.line ||
      a.position.column - b.position.column,
  );
}

/** The error for invalid scenarios: exit code 2, one line per problem. */
export function invalidScenarios(problems: readonly Problem[]): MeshproofError {
  return new MeshproofError("ERR_SCENARIO_INVALID", sortProblems(problems).map(formatProblem).join("\n"));
}

/** The candidates that are close to a word, best first; empty if none is close. */
export function near(word: string, candidates: Iterable<string>): string[] {
  const allowed = Math.max(1, Math.floor(word.length / 3));
  return [...new Set(candidates)]
    .map((candidate) => ({ candidate, distance: editDistance(word.toLowerCase(), candidate.toLowerCase()) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((a, b) => a.distance - b.distance)
    .map(({ candidate }) => candidate);
}

/** `did you mean "columns"?`, or the fallback if nothing is close. */
export function didYouMean(word: string, candidates: Iterable<string>, fallback?: string): string | undefined {
  const [best] = near(word, candidates);
  return best === undefined ? fallback : `did you mean "${best}"?`;
}

/** `a, b or c` */
export function oneOf(words: readonly string[]): string {
  return words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} or ${words.at(-1)}`;
}

/** Insertions, deletions, replacements and swaps of neighbours each cost one (optimal string alignment). */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let i = 1; i <= a.length; i++) {
    const current = [i];
    for (let j = 1; j <= b.length; j++) {
      const cost = a[i - 1] === b[j - 1] ? 0 : 1;
      let distance = Math.min(last[j]! + 1, current[j - 1]! + 1, last[j - 1]! + cost);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        distance = Math.min(distance, beforeLast[j - 2]! + 1);
      current.push(distance);
    }
    beforeLast = last;
    last = current;
  }
  return last[b.length]!;
}
