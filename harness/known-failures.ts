/** Known failures, with owner, reason and expiry date, from scenarios and from a file, and how they change a run's result. */

import { MeshproofError } from "./model/errors.ts";
import { knownFailuresFile, type KnownFailure } from "./model/known.ts";
import type { RunNote } from "./model/finding.ts";
import type { RunResult } from "./model/result.ts";
import type { Scenario } from "./model/scenario.ts";
import { formatProblem } from "./scenario/problem.ts";
import { parseSource } from "./scenario/source.ts";
import { validate } from "./scenario/validate.ts";
import { countOf, excuseScenario, type Excused } from "./verdict/status.ts";

/** A known failure, with the scenario that it belongs to. */
export interface KnownFailureEntry extends KnownFailure {
  readonly scenario: string;
  /** `file:line`, for messages. */
  readonly at: string;
}

/**
 * Reads the text of a file of known failures.
 * @throws MeshproofError ERR_USAGE with every problem's line and column
 */
export function parseKnownFailures(content: string, file: string): KnownFailureEntry[] {
  const source = parseSource(content, file);
  const [document] = source.documents;
  const found =
    source.problems.length > 0 || document === undefined
      ? []
      : validate(source, document.contents, knownFailuresFile, "the file");
  const problems = [...source.problems, ...found];
  if (problems.length > 0) throw new MeshproofError("ERR_USAGE", problems.map(formatProblem).join("\n"));
  if (document === undefined)
    throw new MeshproofError("ERR_USAGE", `${file} is empty`, { hint: "write knownFailures: []" });
  const { knownFailures } = document.toJS() as { knownFailures: Omit<KnownFailureEntry, "at">[] };
  return knownFailures.map((entry, index) => {
    const node = document.getIn(["knownFailures", index], true) as { range?: [number, number, number] };
    const at = `${file}:${source.positionAt(node.range?.[0] ?? 0).line}`;
    const day = new Date(`${entry.expires}T00:00:00Z`);
    if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== entry.expires)
      throw new MeshproofError("ERR_USAGE", `${at} ${entry.expires} is not a date`);
    if (entry.check !== undefined && entry.step === undefined)
      throw new MeshproofError("ERR_USAGE", `${at} names the check "${entry.check}" and no step`, {
        hint: "a check's name is unique in its step: add step",
      });
    return { ...entry, at };
  });
}

/** The known failures that scenarios declare in their own files. */
export function ownKnownFailures(scenarios: readonly Scenario[]): KnownFailureEntry[] {
  return scenarios.flatMap(({ id, knownFailure, position }) =>
    knownFailure === undefined ? [] : [{ ...knownFailure, scenario: id, at: `${position.file}:${position.line}` }],
  );
}

/**
 * Turns failed and flaky checks that are known into known failures: see {@link excuseScenario}. An entry past its date excuses
 * nothing.
 * @param today YYYY-MM-DD, UTC
 * @returns the result with a note for each entry that has expired, matches nothing, does not name what was seen, was not judged,
 * or passes now
 */
export function excuseRun(result: RunResult, known: readonly KnownFailureEntry[], today: string): RunResult {
  const told = new Map<KnownFailureEntry, Set<Excused>>(known.map((entry) => [entry, new Set()]));
  const scenarios = result.scenarios.map((scenario) => {
    const own = known.filter((entry) => entry.scenario === scenario.id);
    const tell = (entry: KnownFailureEntry, what: Excused): void => void told.get(entry)?.add(what);
    return own.length === 0 ? scenario : excuseScenario(scenario, own, today, tell);
  });
  const notes = [...told].flatMap(([entry, seen]) => noteOf(entry, seen));
  return {
    ...result,
    scenarios,
    counts: countOf(scenarios),
    ...(notes.length > 0 && { notes: [...(result.notes ?? []), ...notes] }),
  };
}

function noteOf(
  { reason: _reason, ...entry }: KnownFailureEntry,
  seen: ReadonlySet<Excused>,
): Extract<RunNote, { kind: "known-failure-note" }>[] {
  const all = (...states: readonly Excused[]): boolean => [...seen].every((each) => states.includes(each));
  const states = [
    ...(seen.size === 0 ? (["matches-nothing"] as const) : []),
    ...(seen.has("expired") ? (["expired"] as const) : []),
    ...(seen.has("other answer") ? (["other-answer"] as const) : []),
    ...(seen.size > 0 && all("passed") ? (["passes"] as const) : []),
    ...(seen.has("not judged") && all("passed", "not judged") ? (["not-judged"] as const) : []),
  ];
  return states.map((state) => ({ kind: "known-failure-note", state, ...entry }));
}
