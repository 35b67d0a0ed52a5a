/** The list of known behaviour changes: read, and asked. */

import { MeshproofError } from "../model/errors.ts";
import { readUserFile } from "../user-file.ts";
import type { Shape } from "../scenario/notation.ts";
import { formatProblem } from "../scenario/problem.ts";
import { checkShape } from "../scenario/shape.ts";
import { parseSource } from "../scenario/source.ts";
import type { Change, Seen, Side } from "../model/comparison.ts";

/** What a cell looks like on one side of a change; what is left out may be anything. */
interface Pattern {
  readonly status?: string;
  readonly answer?: number;
  readonly by?: string;
  /** Texts that must be part of the reply or of the response code details. */
  readonly body?: string;
  readonly details?: string;
}

type Component = "istio" | "envoy";

interface Range {
  readonly since: string;
  readonly until?: string;
}

export interface KnownChange {
  readonly id: string;
  readonly sentence: string;
  readonly source: string;
  /**
   * The versions that behave the new way: from `since`, to before `until`; in a list any of them (a fix in several minor
   * versions). Of several components, all must do so.
   */
  readonly versions: Readonly<Partial<Record<Component, Range | readonly Range[]>>>;
  /** Globs over the scenario's id, the step's and the check's name. */
  readonly cells: readonly { readonly scenario: string; readonly step?: string; readonly check?: string }[];
  /** The old and the new behaviour. */
  readonly from: Pattern;
  readonly to: Pattern;
}

const text: Shape = { type: "string", minLength: 1, title: "text" };
const version: Shape = {
  type: "string",
  pattern: "^\\d+\\.\\d+(\\.\\d+)?$",
  title: "a version such as 1.38.0, in quotes",
};
const mapping = (properties: Record<string, Shape>, required: readonly string[]): Shape => ({
  type: "object",
  properties,
  required,
  additionalProperties: false,
  minProperties: 1,
});
const one = mapping({ since: version, until: version }, ["since"]);
const range: Shape = { anyOf: [one, { type: "array", minItems: 1, items: one }] };
const pattern = mapping(
  { status: text, answer: { type: "integer", minimum: 0, maximum: 599 }, by: text, body: text, details: text },
  [],
);
const entry = mapping(
  {
    id: text,
    sentence: text,
    source: text,
    versions: mapping({ istio: range, envoy: range }, []),
    cells: { type: "array", minItems: 1, items: mapping({ scenario: text, step: text, check: text }, ["scenario"]) },
    from: pattern,
    to: pattern,
  },
  ["id", "sentence", "source", "versions", "cells", "from", "to"],
);
const shape = mapping({ changes: { type: "array", items: entry } }, ["changes"]);

/**
 * Reads a list of known changes.
 * @throws MeshproofError ERR_USAGE for a file that cannot be read or is not such a list, with lines and columns
 */
export async function readKnownChanges(file: string): Promise<KnownChange[]> {
  return parseKnownChanges(await readUserFile(file, { what: "the list of known changes" }), file);
}

/** @throws MeshproofError ERR_USAGE, see {@link readKnownChanges} */
export function parseKnownChanges(content: string, file: string): KnownChange[] {
  const source = parseSource(content, file);
  const [document] = source.documents;
  const problems = [
    ...source.problems,
    ...(source.problems.length > 0
      ? []
      : checkShape(document?.contents ?? null, shape, "the list").map(({ offset, ...rest }) => ({
          position: source.positionAt(offset),
          ...rest,
        }))),
  ];
  if (problems.length > 0 || document === undefined)
    throw new MeshproofError("ERR_USAGE", problems.map(formatProblem).join("\n") || `${file} is empty`);
  const { changes } = document.toJS() as { changes: KnownChange[] };
  const twice = changes.find(({ id }, index) => changes.findIndex((other) => other.id === id) !== index);
  if (twice !== undefined) throw new MeshproofError("ERR_USAGE", `${file}: the id "${twice.id}" stands twice`);
  return changes;
}

/** Whether the two sides behave differently by this entry, and in which direction. */
export function directionOf(known: KnownChange, before: Side, after: Side): "forward" | "backward" | undefined {
  const [old, fresh] = [before, after].map(({ versions }) => behavesNew(known, versions));
  if (old === undefined || fresh === undefined || old === fresh) return undefined;
  return fresh ? "forward" : "backward";
}

/** Undefined where a version is none that can be compared (`proxyv2:1.31.0`). */
function behavesNew({ versions }: KnownChange, side: Side["versions"]): boolean | undefined {
  const answers = (["istio", "envoy"] as const).flatMap((component) => {
    const bounds = versions[component];
    if (bounds === undefined) return [];
    const found = numbersOf(side[component]);
    if (found === undefined) return [undefined];
    return [
      [bounds].flat().some(({ since, until }) => {
        const end = until === undefined ? undefined : numbersOf(until);
        return compare(found, numbersOf(since)!) >= 0 && (end === undefined || compare(found, end) < 0);
      }),
    ];
  });
  return answers.includes(undefined) ? undefined : answers.every(Boolean);
}

function numbersOf(version: string): readonly number[] | undefined {
  const found = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?$/.exec(version);
  return found === null ? undefined : [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
}

function compare(a: readonly number[], b: readonly number[]): number {
  return a.map((n, index) => n - (b[index] ?? 0)).find((difference) => difference !== 0) ?? 0;
}

/** Whether an entry explains a change between versions that it speaks of. */
export function explains(known: KnownChange, change: Change, direction: "forward" | "backward"): boolean {
  const [from, to] = direction === "forward" ? [known.from, known.to] : [known.to, known.from];
  return (
    known.cells.some(
      ({ scenario, step, check }) =>
        globMatches(scenario, change.scenario) &&
        (step === undefined || globMatches(step, change.step ?? "")) &&
        (check === undefined || globMatches(check, change.check ?? "")),
    ) &&
    fits(from, change.before) &&
    fits(to, change.after)
  );
}

function fits({ status, answer, by, body, details }: Pattern, seen: Seen): boolean {
  return (
    (status === undefined || seen.status === status) &&
    (answer === undefined || seen.answer === answer) &&
    (by === undefined || seen.by === by) &&
    (body === undefined || (seen.body ?? "").includes(body)) &&
    (details === undefined || (seen.details ?? "").includes(details))
  );
}

/** `*` stands for any text, all else for itself: names hold brackets and question marks. */
function globMatches(glob: string, name: string): boolean {
  const parts = glob.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "su").test(name);
}
