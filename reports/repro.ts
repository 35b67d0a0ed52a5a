/** Formats the answer to a ticket for a terminal and as JSON, and writes its page. */

import type { Answered, Minimization, ReproAnswer } from "../harness/model/ticket.ts";
import { visible } from "../harness/safe/visible.ts";
import { formatExplanation, formatFilters } from "./explanation.ts";
import { formatReproHtml } from "./html/repro.ts";
import { escapeJson } from "./json.ts";
import { prepareData } from "./prepare.ts";
import { writerIn } from "./index.ts";
import {
  describeDifference,
  describeMesh,
  describeHint,
  describeOutcome,
  describeReproduction,
  isAssumed,
} from "./ticket-words.ts";
import { alignColumns } from "./text.ts";
import { describeNeed } from "./ticket-needs.ts";
import { comparisonsOf, describeCause, describeTicketNote } from "./words.ts";

/** Title of the facts that the ticket does not show and the reporter's answer does. */
const ASSUMED = "Assumed, as the reporter had this answer";

/** Prepares an answer like {@link prepareData}: removes token signatures and private keys, and cuts long text. */
export function prepareRepro(answer: ReproAnswer): ReproAnswer {
  return prepareData(answer);
}

/** Writes repro.html and repro.json. */
export async function writeRepro(answer: ReproAnswer, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("repro.json", formatReproJson(answer));
  return { html: await write("repro.html", formatReproHtml(answer)) };
}

/** The answer as JSON with sentences for people; control characters are written as `\u` escapes. */
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
    text: {
      verdict: describeReproduction(answer),
      cause: describeCause(cause),
      notes: notes.map(describeTicketNote),
      hints: answer.hints.map(describeHint),
      differences: answer.differences.map(describeDifference),
      needs: answer.differences.flatMap((difference) => describeNeed(difference) ?? []),
    },
    matrix: { ...matrix, rows },
  };
}

/** Plain text, the verdict first. Text from the mesh or the ticket has no control characters. */
export function formatAnswer(answer: ReproAnswer): string {
  const { cause, verdict, request, expected, matrix, inForce, notes, differences, hints, versions, reproduced } =
    answer;
  const open = differences.filter(({ decides }) => decides !== "no");
  const said = verdict.body.split("\n")[0] ?? "";
  const body = verdict.by === "workload" || said === "" ? "" : `: ${said}`;
  const wanted = expected === undefined ? [] : [`expected   ${describeOutcome(expected.outcome)}`];
  const refusal = reproduced
    ? []
    : [
        "Not reproduced: what follows decides the answer, or may.",
        ...open.flatMap((difference) => {
          const need = describeNeed(difference);
          return [`  - ${describeDifference(difference)}`, ...(need === undefined ? [] : [`      To do: ${need}.`])];
        }),
        ...(open.length === 0 ? ["  - the answers went on to change (see below)"] : []),
        "",
        "The reduced ticket, without all that:",
      ];
  return [
    ...refusal,
    describeCause(cause),
    ...hints.map((hint) => `Hint: ${describeHint(hint)}`),
    ...comparisonLines(cause),
    "",
    `request    ${request}`,
    `answer     ${wordsOf(verdict)}${body}`,
    ...(verdict.details === undefined ? [] : [`details    ${verdict.details}`]),
    ...wanted,
    `verdict    ${describeReproduction(answer)}`,
    ...list(ASSUMED, differences.filter(isAssumed).map(describeDifference)),
    "",
    ...alignColumns([
      ["", ...matrix.columns],
      ...matrix.rows.map((row) => [row.request, ...row.cells.map(({ status }) => String(status || "-"))]),
    ]),
    ...list("Policies without effect and other findings", notes.map(describeTicketNote)),
    ...list(
      "Changed, without an effect on the answer",
      differences.filter((one) => one.decides === "no" && !isAssumed(one)).map(describeDifference),
    ),
    ...(inForce === undefined ? [] : ["", ...formatInForce(inForce)]),
    ...(answer.minimized === undefined ? [] : minimizedLines(answer.minimized)),
    "",
    ...(answer.mesh === undefined ? [] : [`mesh: ${describeMesh(answer.mesh)}, as in the ticket`]),
    Object.entries(versions)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  ]
    .map((line) => visible(line, { lines: true }))
    .join("\n");
}

/** The requirements of each deciding rule, beside the request's values. */
function comparisonLines(cause: ReproAnswer["cause"]): string[] {
  return comparisonsOf(cause).flatMap(({ rule, rows }) => [
    "",
    rule,
    ...alignColumns([
      ["  field", "rule requires", "request has"],
      ...rows.map(([field = "", ...more]) => [`  ${field}`, ...more]),
    ]),
  ]);
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
    ...list(`Not needed for this answer (${effort}${complete ? "" : "; no try was left, so more may be"})`, dropped),
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
