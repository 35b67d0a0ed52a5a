/** Formats a comparison of two runs for a terminal, as Markdown and as JSON. */

import type { Change, Comparison, OneSided, Seen, Side } from "../harness/model/comparison.ts";
import { escapeJson } from "./json.ts";
import { escapeMarkdown } from "./markdown.ts";
import { redact } from "../harness/safe/redact.ts";
import { visible } from "../harness/safe/visible.ts";
import { beginning, formatDuration, plural } from "./text.ts";

/** Maximum number of characters of a reply in a line. */
const excerpt = 120;
/** GitHub does not show a step summary above 1 MiB. */
const rowsLimit = 1000;
/** How many checks of a scenario that only one side has are named in a terminal; JSON and the page have all. */
const namedLimit = 5;

/** 0 if nothing unexpected changed, else 1; 3 if a run was interrupted and the compared part has no change. */
export function diffExitCode({ unexpected, interrupted }: Comparison): 0 | 1 | 3 {
  if (unexpected > 0) return 1;
  return interrupted === undefined ? 0 : 3;
}

/** Describes what was not compared because a run was interrupted. */
export function describeInterrupted({ interrupted }: Comparison): string | undefined {
  if (interrupted === undefined) return undefined;
  const { runs, scenarios } = interrupted;
  return `${runs.join(" and ")} ${runs.length > 1 ? "were" : "was"} interrupted: ${plural(scenarios.length, "scenario")} not compared`;
}

/** `200 from workload`, with the aspects that differ from the other side. */
export function describeSeen(seen: Seen, change?: Pick<Change, "aspects">): string {
  const told = (aspect: Change["aspects"][number]): boolean => change === undefined || change.aspects.includes(aspect);
  const answer =
    seen.answer === undefined
      ? seen.by
      : seen.answer === 0
        ? "no answer"
        : `${seen.answer} from ${seen.by ?? "nobody"}`;
  const parts = [
    ...(answer === undefined ? [] : [answer]),
    ...(told("status") || answer === undefined ? [wordOf(seen.status)] : []),
    ...(told("body") && change !== undefined && seen.body !== undefined ? [JSON.stringify(shorten(seen.body))] : []),
    ...(told("details") && change !== undefined && seen.details !== undefined ? [shorten(seen.details)] : []),
  ];
  return parts.join(", ");
}

/** The meaning of a change that is about admission: `was refused, is admitted now`. */
export function describeMeaning({ before, after }: Change): string | undefined {
  const admitted = (seen: Seen): boolean => seen.by === "workload";
  const denied = (seen: Seen): boolean => seen.by === "authentication" || seen.by === "authorization";
  if (denied(before) && admitted(after)) return "was refused, is admitted now";
  if (admitted(before) && denied(after)) return "was admitted, is refused now";
  return undefined;
}

export function nameCell({ step, check }: Pick<Change, "step" | "check">): string {
  return step === undefined ? "the whole scenario" : `${step}: ${check ?? ""}`;
}

/** `3 unexpected changes`, or that there are none; never empty. */
export function describeVerdict(comparison: Comparison): string {
  const { changes, unexpected, interrupted } = comparison;
  if (unexpected > 0) return plural(unexpected, "unexpected change");
  if (interrupted !== undefined) return "no unexpected change in what was compared";
  return changes.length > 0 ? `${plural(changes.length, "change")}, all of them known` : "no change";
}

/** The versions of both sides, with differing ones marked. */
export function versionRows({ before, after }: Comparison): [string, string, string, boolean][] {
  const names = { kubernetes: "Kubernetes", istio: "Istio", envoy: "Envoy", meshproof: "meshproof" } as const;
  return Object.entries(names).map(([key, name]) => {
    const [old, fresh] = [before.versions[key as keyof typeof names], after.versions[key as keyof typeof names]];
    return [name, old, fresh, old !== fresh];
  });
}

/** Formats for a terminal: both sides, the changes by scenario, and counts in the last line. */
export function formatDiff(comparison: Comparison): string {
  const { changes, added, removed, unseen } = comparison;
  const lines = [
    ...sideLines(comparison),
    ...section("Unexpected changes", changes.filter(({ known }) => known === undefined).map(changeLine)),
    ...section("Known changes", changes.filter(({ known }) => known !== undefined).map(changeLine)),
    ...section("Removed checks", removed.map(oneSidedLine), namedLimit),
    ...section("Added checks", added.map(oneSidedLine), namedLimit),
    ...section(
      "Known changes of these versions that no check shows",
      unseen.map((id) => [id, ""]),
    ),
    "",
    countLine(comparison),
  ];
  return lines.map((line) => visible(redact(line))).join("\n");
}

function sideLines(comparison: Comparison): string[] {
  const of = (side: Side): string => `${side.run}, ${side.cluster} cluster, ${plural(side.checks, "check")}`;
  const versions = versionRows(comparison).map(
    ([name, old, fresh, differs]) => `  ${name.padEnd(12)}${differs ? `${old} -> ${fresh}` : old}`,
  );
  const time = enforcement(comparison);
  return [
    `before  ${of(comparison.before)}`,
    `after   ${of(comparison.after)}`,
    ...versions,
    ...(time === undefined ? [] : [`  ${"enforced".padEnd(12)}${time}`]),
  ];
}

/** Median time to enforce on both sides, for information only. */
export function enforcement({ before, after }: Comparison): string | undefined {
  if (before.enforcedMs === undefined || after.enforcedMs === undefined) return undefined;
  return `after ${formatDuration(before.enforcedMs)} -> ${formatDuration(after.enforcedMs)} (median)`;
}

function section(
  title: string,
  entries: readonly (readonly [scenario: string, text: string])[],
  limit = Infinity,
): string[] {
  if (entries.length === 0) return [];
  const groups = Map.groupBy(entries, ([scenario]) => scenario);
  const lines = [...groups].flatMap(([scenario, own]) => {
    const named = own.slice(0, limit).flatMap(([, text]) => (text === "" ? [] : text.split("\n")));
    const left = own.length - limit;
    return [`  ${scenario}`, ...named, ...(left > 0 ? [`    and ${left} more`] : [])];
  });
  return ["", `${title} (${entries.length})`, ...lines];
}

function changeLine(change: Change): [string, string] {
  const meaning = describeMeaning(change);
  const { file, line } = change.position;
  return [
    change.scenario,
    [
      `    ${flat(nameCell(change))}  (${file}:${line})`,
      `      ${flat(describeSeen(change.before, change))} -> ${flat(describeSeen(change.after, change))}${meaning === undefined ? "" : `  [${meaning}]`}`,
      ...(change.after.reason === undefined ? [] : [`      why  ${flat(shorten(change.after.reason, 400))}`]),
      ...(change.known === undefined
        ? []
        : [`      known  ${flat(change.known.sentence)} (${flat(change.known.source)})`]),
    ].join("\n"),
  ];
}

function oneSidedLine(cell: OneSided): [string, string] {
  return [cell.scenario, `    ${flat(nameCell(cell))}  ${flat(describeSeen(cell.seen))}`];
}

function countLine(comparison: Comparison): string {
  const { changes, added, removed, same, unjudged, unexpected } = comparison;
  const known = changes.filter((change) => change.known !== undefined).length;
  const interrupted = describeInterrupted(comparison);
  return [
    describeVerdict(comparison),
    `${same} the same`,
    ...(known > 0 && unexpected > 0 ? [`${known} known`] : []),
    ...(removed.length > 0 ? [`${removed.length} removed`] : []),
    ...(added.length > 0 ? [`${added.length} added`] : []),
    ...(unjudged > 0 ? [`${unjudged} judged on neither side`] : []),
    ...(interrupted === undefined ? [] : [interrupted]),
  ].join(", ");
}

/** Formats as Markdown, for a step summary or a comment. */
export function formatDiffMarkdown(comparison: Comparison): string {
  const { changes, added, removed } = comparison;
  const rows = (cells: readonly (readonly string[])[]): string =>
    cells.map((row) => `| ${row.map((cell) => escapeMarkdown(redact(cell))).join(" | ")} |`).join("\n");
  const table = (head: readonly string[], all: readonly (readonly string[])[]): string => {
    const left = all.length - rowsLimit;
    return [
      `| ${head.join(" | ")} |\n|${head.map(() => " --- |").join("")}\n${rows(all.slice(0, rowsLimit))}`,
      ...(left > 0 ? [`${plural(left, "more row")} in diff.json.`] : []),
    ].join("\n\n");
  };
  const changeTable = (title: string, those: readonly Change[]): string[] =>
    those.length === 0
      ? []
      : [
          `### ${title} (${those.length})`,
          table(
            ["scenario", "check", "before", "after", "why"],
            those.map((change) => [
              change.scenario,
              nameCell(change),
              describeSeen(change.before, change),
              describeSeen(change.after, change),
              change.known === undefined
                ? (describeMeaning(change) ?? change.after.reason ?? "")
                : `${change.known.sentence} (${change.known.source})`,
            ]),
          ),
        ];
  const oneSided = (title: string, those: readonly OneSided[]): string[] =>
    those.length === 0
      ? []
      : [
          `### ${title} (${those.length})`,
          table(
            ["scenario", "check", "seen"],
            those.map((cell) => [cell.scenario, nameCell(cell), describeSeen(cell.seen)]),
          ),
        ];
  const time = enforcement(comparison);
  return `${[
    `## meshproof diff: ${escapeMarkdown(describeVerdict(comparison))}`,
    table(
      ["", "before", "after"],
      [
        ["run", comparison.before.run, comparison.after.run],
        ...versionRows(comparison).map(([name, old, fresh]) => [name, old, fresh]),
        ["checks", String(comparison.before.checks), String(comparison.after.checks)],
      ],
    ),
    ...changeTable(
      "Unexpected changes",
      changes.filter(({ known }) => known === undefined),
    ),
    ...changeTable(
      "Known changes",
      changes.filter(({ known }) => known !== undefined),
    ),
    ...oneSided("Removed checks", removed),
    ...oneSided("Added checks", added),
    escapeMarkdown(countLine(comparison)) + (time === undefined ? "." : `; enforced ${escapeMarkdown(time)}.`),
  ].join("\n\n")}\n`;
}

/** Formats as JSON; control characters are written as `\u` escapes. */
export function formatDiffJson(comparison: Comparison): string {
  return `${escapeJson(JSON.stringify(comparison, undefined, 2))}\n`;
}

function wordOf(status: Seen["status"]): string {
  return status === "known-failure" ? "known failure" : status;
}

/** Joins a text's lines into one. */
function flat(text: string): string {
  return visible(text);
}

export function shorten(text: string, bytes = excerpt): string {
  const safe = redact(text);
  const kept = beginning(safe, bytes);
  return kept === safe ? safe : `${kept}…`;
}
