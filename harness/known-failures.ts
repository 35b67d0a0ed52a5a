/** A file that says which failures somebody knows and answers for, until when; and what it makes of a run. */

import { MeshproofError } from "./errors.ts";
import type { RunResult, ScenarioResult, Status, StepResult } from "./result.ts";
import type { Shape } from "./scenario/notation.ts";
import { formatProblem } from "./scenario/problem.ts";
import { checkShape } from "./scenario/shape.ts";
import { parseSource } from "./scenario/source.ts";

export interface KnownFailure {
  /** The scenario's id; with `step` and `check` only that check, with `step` alone only that step. */
  readonly scenario: string;
  readonly step?: string;
  readonly check?: string;
  readonly owner: string;
  readonly reason: string;
  /** The last day (YYYY-MM-DD, UTC) on which the failure is excused. */
  readonly expires: string;
  /** `file:line`, for messages. */
  readonly at: string;
}

const text: Shape = { type: "string", minLength: 1, title: "text" };
const shape: Shape = {
  type: "object",
  required: ["knownFailures"],
  additionalProperties: false,
  properties: {
    knownFailures: {
      type: "array",
      items: {
        type: "object",
        required: ["scenario", "owner", "reason", "expires"],
        additionalProperties: false,
        properties: {
          scenario: text,
          step: text,
          check: text,
          owner: text,
          reason: text,
          expires: { type: "string", pattern: "^\\d{4}-\\d\\d-\\d\\d$", title: "a date such as 2027-01-31" },
        },
      },
    },
  },
};

/**
 * Reads the text of a file of known failures.
 * @throws MeshproofError ERR_USAGE with every problem's line and column
 */
export function parseKnownFailures(content: string, file: string): KnownFailure[] {
  const source = parseSource(content, file);
  const [document] = source.documents;
  const found =
    source.problems.length > 0 || document === undefined
      ? []
      : checkShape(document.contents, shape, "the file").map(({ offset, ...rest }) => ({
          position: source.positionAt(offset),
          ...rest,
        }));
  const problems = [...source.problems, ...found];
  if (problems.length > 0) throw new MeshproofError("ERR_USAGE", problems.map(formatProblem).join("\n"));
  if (document === undefined)
    throw new MeshproofError("ERR_USAGE", `${file} is empty`, { hint: "write knownFailures: []" });
  const { knownFailures } = document.toJS() as { knownFailures: Omit<KnownFailure, "at">[] };
  return knownFailures.map((entry, index) => {
    const node = document.getIn(["knownFailures", index], true) as { range?: [number, number, number] };
    const at = `${file}:${source.positionAt(node.range?.[0] ?? 0).line}`;
    const day = new Date(`${entry.expires}T00:00:00Z`);
    if (Number.isNaN(day.getTime()) || day.toISOString().slice(0, 10) !== entry.expires)
      throw new MeshproofError("ERR_USAGE", `${at} ${entry.expires} is no date`);
    if (entry.check !== undefined && entry.step === undefined)
      throw new MeshproofError("ERR_USAGE", `${at} names the check "${entry.check}" and no step`, {
        hint: "a check's name is unique in its step: add step",
      });
    return { ...entry, at };
  });
}

/**
 * Makes failed and flaky checks that are known into known failures, and their steps, scenarios and counts accordingly. An
 * entry past its date excuses nothing. An error of the environment is never excused: nothing was judged.
 * @param today YYYY-MM-DD, UTC
 * @returns the result with a note for each entry that has expired, matches nothing, was not judged, or passes now
 */
export function applyKnownFailures(result: RunResult, known: readonly KnownFailure[], today: string): RunResult {
  const matched = new Map<KnownFailure, Status[]>();
  const scenarios = result.scenarios.map((scenario) => {
    const own = known.filter((entry) => entry.scenario === scenario.id);
    for (const entry of own)
      if (entry.step === undefined && scenario.steps.length === 0) matched.set(entry, [scenario.status]);
    return own.length === 0 ? scenario : excuseScenario(scenario, own, today, matched);
  });
  const notes = known.flatMap((entry) => noteOf(entry, matched.get(entry) ?? [], today));
  const excused = [...matched.values()].length > 0 ? recount(result, scenarios) : result.counts;
  return {
    ...result,
    scenarios,
    counts: excused,
    ...(notes.length > 0 && { notes: [...(result.notes ?? []), ...notes] }),
  };
}

function excuseScenario(
  scenario: ScenarioResult,
  known: readonly KnownFailure[],
  today: string,
  matched: Map<KnownFailure, Status[]>,
): ScenarioResult {
  const excuse = <T extends { readonly status: Status; readonly reason?: string }>(
    item: T,
    step: string,
    name: string,
  ): T => {
    const entry = known.find(
      (each) => (each.step ?? step) === step && (each.check ?? name) === name && each.scenario === scenario.id,
    );
    if (entry === undefined) return item;
    matched.set(entry, [...(matched.get(entry) ?? []), item.status]);
    if (item.status !== "failed" && item.status !== "flaky") return item;
    const because = item.reason === undefined ? "" : `; ${item.reason}`;
    if (entry.expires < today)
      return {
        ...item,
        reason: `was a known failure of ${entry.owner} until ${entry.expires}: ${entry.reason}${because}`,
      };
    const reason = `known until ${entry.expires}, ${entry.owner}: ${entry.reason}${because}`;
    return { ...item, status: "known-failure", reason };
  };
  const steps = scenario.steps.map((step): StepResult => {
    const checks = step.checks.map((check) => excuse(check, step.name, check.name));
    const asked = step.asked.map((each) => excuse(each, step.name, `${each.server} asked by ${each.expected}`));
    return { ...step, checks, asked, status: lighten(step.status, [...checks, ...asked]) };
  });
  return { ...scenario, steps, status: lighten(scenario.status, steps) };
}

/** A status that stood for failures that are excused now; nothing else changes. */
function lighten(status: Status, parts: readonly { readonly status: Status }[]): Status {
  if (status !== "failed" && status !== "flaky") return status;
  return (
    (["failed", "flaky", "known-failure"] as const).find((each) => parts.some((part) => part.status === each)) ?? status
  );
}

/** Counts move with the checks whose status moved. */
function recount({ counts, scenarios: before }: RunResult, after: readonly ScenarioResult[]): RunResult["counts"] {
  const moved: Record<Status, number> = { ...counts };
  const statusesOf = (scenarios: readonly ScenarioResult[]): Status[] =>
    scenarios.flatMap(({ steps }) =>
      steps.flatMap(({ checks, asked }) => [...checks, ...asked].map(({ status }) => status)),
    );
  const fresh = statusesOf(after);
  for (const [index, status] of statusesOf(before).entries()) {
    const now = fresh[index] ?? status;
    if (now === status) continue;
    moved[status]--;
    moved[now]++;
  }
  return moved;
}

function noteOf(entry: KnownFailure, seen: readonly Status[], today: string): string[] {
  const what = [entry.scenario, entry.step, entry.check].filter((part) => part !== undefined).join(": ");
  const name = `known failure of ${entry.owner} (${entry.at}, ${what})`;
  const failing = seen.some((status) => status === "failed" || status === "flaky");
  if (seen.length === 0) return [`${name} matches nothing in this run`];
  if (failing) return entry.expires < today ? [`${name} expired on ${entry.expires}: its failures count`] : [];
  if (seen.includes("known-failure")) return [];
  if (seen.every((status) => status === "passed")) return [`${name} passes now: remove it`];
  return [`${name} was not judged`];
}
