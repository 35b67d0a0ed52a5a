/** The answer to a ticket, for a terminal. */

import type { Cell, ReproAnswer } from "./answer.ts";

/** Plain text, the cause first. What came from the mesh or the ticket is stripped of control characters. */
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
    "",
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  ]
    .join("\n")
    .replaceAll(/[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g, "�");
}

function wordsOf({ status, by }: Cell): string {
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
