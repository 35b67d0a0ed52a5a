/** The answer to a ticket, for a terminal, as JSON and as a page. */

import type { Answered, Minimization, ReproAnswer } from "../harness/model/ticket.ts";
import { visible } from "../harness/safe/visible.ts";
import { formatExplanation, formatFilters } from "./explanation.ts";
import { formatReproHtml } from "./html/repro.ts";
import { escapeJson } from "./json.ts";
import { prepareData } from "./prepare.ts";
import { writerIn } from "./index.ts";
import { describeCause, describeTicketNote } from "./words.ts";

/** Makes an answer fit to be shown and written, as {@link prepareData} does: no token signature, no private key, nothing endless. */
export function prepareRepro(answer: ReproAnswer): ReproAnswer {
  return prepareData(answer);
}

/** Writes repro.html and repro.json. */
export async function writeRepro(answer: ReproAnswer, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("repro.json", formatReproJson(answer));
  return { html: await write("repro.html", formatReproHtml(answer)) };
}

/** The answer itself, with its texts for people; what acts on a terminal is written as `\u` escapes. */
export function formatReproJson(answer: ReproAnswer): string {
  return `${escapeJson(JSON.stringify(withTexts(prepareRepro(answer)), undefined, 2))}\n`;
}

function withTexts(answer: ReproAnswer): unknown {
  const { matrix, notes, cause } = answer;
  const rows = matrix.rows.map((row) => ({
    ...row,
    cells: row.cells.map((cell) => ({
      ...cell,
      ...(cell.explanation && {
        explanation: { ...cell.explanation, text: formatExplanation(cell.explanation, { got: cell }) },
      }),
    })),
  }));
  return {
    ...answer,
    text: { cause: describeCause(cause), notes: notes.map(describeTicketNote) },
    matrix: { ...matrix, rows },
  };
}

/** Plain text, the cause first. What came from the mesh or the ticket has no character that acts on a terminal. */
export function formatAnswer(answer: ReproAnswer): string {
  const { cause, verdict, request, expected, matrix, inForce, notes, changes, notCarriedOver, versions } = answer;
  const wanted =
    expected === undefined
      ? []
      : [`expected   ${expected.status}: ${expected.met ? "the mesh answers so" : "the mesh answers otherwise"}`];
  return [
    describeCause(cause),
    "",
    `request    ${request}`,
    `answer     ${wordsOf(verdict)}${verdict.by === "workload" || verdict.body === "" ? "" : `: ${verdict.body.split("\n")[0]}`}`,
    ...(verdict.details === undefined ? [] : [`details    ${verdict.details}`]),
    ...wanted,
    "",
    ...grid(
      ["", ...matrix.columns],
      matrix.rows.map((row) => [row.request, ...row.cells.map(({ status }) => String(status || "-"))]),
    ),
    ...(inForce === undefined ? [] : ["", ...formatInForce(inForce)]),
    ...list("Policies without effect and other findings", notes.map(describeTicketNote)),
    ...list("Changed", changes),
    ...list("Not carried over", notCarriedOver),
    ...(answer.minimized === undefined ? [] : minimizedLines(answer.minimized)),
    "",
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  ]
    .map((line) => visible(line, { lines: true }))
    .join("\n");
}

/** The rules in force, under a heading. */
export function formatInForce(inForce: NonNullable<ReproAnswer["inForce"]>): string[] {
  return ["In force, as the proxy has it, compared with the request as given", "", ...formatFilters(inForce)];
}

function minimizedLines({ confirmed, complete, tries, refused, dropped, yaml }: Minimization): string[] {
  const effort = `${tries} tries${refused === 0 ? "" : `, ${refused} of them refused`}`;
  if (!confirmed)
    return ["", `Not minimized (${effort}): what was left gave another answer when it was asked by itself.`];
  return [
    ...list(`Needless for this answer (${effort}${complete ? "" : "; no try was left, so more may be"})`, dropped),
    ...(dropped.length > 0 ? [] : ["", `Nothing is needless for this answer (${effort}).`]),
    "",
    "What is left",
    ...yaml
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`.trimEnd()),
  ];
}

function wordsOf({ status, by }: Answered): string {
  if (status === 0) return "none";
  return by === "workload" ? `${status}, by the workload: it went through` : `${status}, by ${by}`;
}

function list(title: string, items: readonly string[]): string[] {
  return items.length === 0 ? [] : ["", title, ...items.map((item) => `  - ${item}`)];
}

/** Columns two blanks apart. */
function grid(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const all = [head, ...rows];
  const widths = head.map((_, column) => Math.max(...all.map((row) => (row[column] ?? "").length)));
  return all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column]!))
      .join("  ")
      .trimEnd(),
  );
}
