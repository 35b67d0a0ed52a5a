/** The answer to a ticket, for a terminal. */

import { visible } from "../safe/visible.ts";
import type { Answered, Minimization, ReproAnswer } from "../model/ticket.ts";

/** Plain text, the cause first. What came from the mesh or the ticket has no character that acts on a terminal. */
export function formatAnswer(answer: ReproAnswer): string {
  const { cause, verdict, request, expected, matrix, inForce, notes, changes, notCarriedOver, versions } = answer;
  const wanted =
    expected === undefined
      ? []
      : [`expected   ${expected.status}: ${expected.met ? "the mesh answers so" : "the mesh answers otherwise"}`];
  const [head = "", ...policies] = inForce;
  return [
    cause,
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
    ...(head === "" ? [] : ["", `${head}, as the proxy has them, compared with the request`, ...policies]),
    ...list("Policies without effect and other findings", notes),
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
