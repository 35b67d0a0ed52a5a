/** Reads and evaluates the list of known behaviour changes. */

import { MeshproofError } from "../model/errors.ts";
import { knownChangesFile, type KnownChange } from "../model/known.ts";
import { compareNumbers, isWithin, numbersOf } from "../model/version-range.ts";
import { readUserFile } from "../user-file.ts";
import { formatProblem } from "../scenario/problem.ts";
import { validate } from "../scenario/validate.ts";
import { parseSource } from "../scenario/source.ts";
import type { Change, Seen, Side } from "../model/comparison.ts";

/**
 * Reads a list of known changes.
 * @throws MeshproofError ERR_USAGE if the file cannot be read or is not a valid list, with lines and columns
 */
export async function readKnownChanges(file: string): Promise<KnownChange[]> {
  return parseKnownChanges(await readUserFile(file, { what: "the list of known changes" }), file);
}

/** @throws MeshproofError ERR_USAGE, see {@link readKnownChanges} */
export function parseKnownChanges(content: string, file: string): KnownChange[] {
  const source = parseSource(content, file);
  const [document] = source.documents;
  const problems =
    source.problems.length > 0
      ? source.problems
      : validate(source, document?.contents ?? null, knownChangesFile, "the list");
  if (problems.length > 0 || document === undefined)
    throw new MeshproofError("ERR_USAGE", problems.map(formatProblem).join("\n") || `${file} is empty`);
  const { changes } = document.toJS() as { changes: KnownChange[] };
  const twice = changes.find(({ id }, index) => changes.findIndex((other) => other.id === id) !== index);
  if (twice !== undefined) throw new MeshproofError("ERR_USAGE", `${file}: the id "${twice.id}" is used twice`);
  return changes;
}

/** The direction in which this entry changes behaviour between the two sides; undefined if it does not. */
export function directionOf(known: KnownChange, before: Side, after: Side): "forward" | "backward" | undefined {
  const [old, fresh] = [before, after].map(({ versions }) => behavesNew(known, versions));
  if (old === undefined || fresh === undefined || old === fresh) return undefined;
  return fresh ? "forward" : "backward";
}

/** Undefined if a version cannot be compared (`proxyv2:1.31.0`). */
function behavesNew({ versions }: KnownChange, side: Side["versions"]): boolean | undefined {
  const answers = (["istio", "envoy"] as const).flatMap((component) => {
    const bounds = versions[component];
    if (bounds === undefined) return [];
    const all = [bounds].flat();
    if (all.some((bound) => "is" in bound && bound.is === side[component])) return [true];
    const ranges = all.flatMap((bound) => ("is" in bound ? [] : [bound]));
    const found = numbersOf(side[component]);
    if (found === undefined) return [ranges.length === 0 ? false : undefined];
    return [isWithin(found, ranges)];
  });
  return answers.includes(undefined) ? undefined : answers.every(Boolean);
}

/** Orders versions by their numbers, and by their text where they have none or the same. */
export function compareVersions(a = "", b = ""): number {
  const [one, other] = [numbersOf(a), numbersOf(b)];
  if (one === undefined || other === undefined)
    return Number(one === undefined) - Number(other === undefined) || a.localeCompare(b);
  return compareNumbers(one, other) || a.localeCompare(b);
}

/** Whether an entry explains a change between versions that it applies to. */
export function explains(known: KnownChange, change: Change, direction: "forward" | "backward"): boolean {
  const [from, to] = direction === "forward" ? [known.from, known.to] : [known.to, known.from];
  return names(known, change) && fits(from, change.before) && fits(to, change.after);
}

/**
 * Whether an entry explains that a check failed with these versions: it expects the behaviour of the other side of the change.
 * @param expected what the check expects, as if it had been seen
 */
export function explainsFailure(
  known: KnownChange,
  versions: Side["versions"],
  cell: NamedCell,
  { expected, got }: { readonly expected: Seen; readonly got: Seen },
): boolean {
  const isNew = behavesNew(known, versions);
  if (isNew === undefined) return false;
  const [seen, other] = isNew ? [known.to, known.from] : [known.from, known.to];
  return names(known, cell) && fits(seen, got) && fits(other, expected);
}

type NamedCell = Pick<Change, "scenario" | "step" | "check">;

function names(known: KnownChange, cell: NamedCell): boolean {
  return known.cells.some(
    ({ scenario, step, check }) =>
      globMatches(scenario, cell.scenario) &&
      (step === undefined || globMatches(step, cell.step ?? "")) &&
      (check === undefined || globMatches(check, cell.check ?? "")),
  );
}

function fits({ status, answer, by, body, details, finding }: KnownChange["from"], seen: Seen): boolean {
  return (
    (finding === undefined || seen.findings?.some(({ kind }) => kind === finding) === true) &&
    (status === undefined || seen.status === status) &&
    (answer === undefined || seen.answer === answer) &&
    (by === undefined || seen.by === by) &&
    (body === undefined || (seen.body ?? "").includes(body)) &&
    (details === undefined || (seen.details ?? "").includes(details))
  );
}

/** Only `*` is special, since names contain brackets and question marks. */
function globMatches(glob: string, name: string): boolean {
  const parts = glob.split("*").map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`, "su").test(name);
}
