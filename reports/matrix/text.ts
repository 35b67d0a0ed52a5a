/** Formats a matrix of scenarios and versions for a terminal, as JSON and as Markdown. */

import { matrixExitCode, STATES, type Matrix, type MatrixRow, type State } from "../../harness/model/matrix.ts";
import { visible } from "../../harness/safe/visible.ts";
import { describeSeen, nameCell, shorten } from "../diff.ts";
import { groupsOf, provenBy } from "../groups.ts";
import { escapeJson } from "../json.ts";
import { escapeMarkdown } from "../markdown.ts";
import { prepareData } from "../prepare.ts";
import { alignColumns, plural } from "../text.ts";
import {
  cellsOf,
  countStates,
  describeException,
  describeMatrix,
  describeSince,
  worstDetails,
  explainChange,
  explainException,
  nameColumn,
  nameColumns,
  nameSteps,
  notesOfMatrix,
  shareOf,
  skippedOf,
  STATE_WORDS,
  worstState,
  type Detail,
} from "./words.ts";

/** GitHub takes at most 65536 characters in a comment, and shows no step summary above 1 MiB. */
const COMMENT_LIMIT = 60_000;
/** So many lines of what did not pass or changed; the page and the JSON have all. */
const LINES = 200;

/** The groups of a matrix, with their rows. */
export function groupRows({ rows }: Pick<Matrix, "rows">): [name: string, rows: MatrixRow[]][] {
  const members = rows.map((row) => ({ id: row.scenario, tags: row.tags, row }));
  return groupsOf(members).map(([name, own]) => [name, own.map(({ row }) => row)]);
}

/** The share of scenarios of a group that passed or whose differences are known, with the worst state. */
export function summarize(
  rows: readonly MatrixRow[],
  column: number,
): { readonly state: State; readonly words: string } {
  const counts = countStates(rows.flatMap(({ cells }) => cells[column] ?? []));
  const ran = rows.length - counts.skipped - counts["not-run"];
  const state = worstState(counts);
  return { state, words: ran === 0 ? STATE_WORDS[state] : `${counts.passed + counts.known}/${ran}` };
}

/** For a terminal: each feature with each version, what did not pass, what was skipped, and what changed. */
export function formatMatrix(found: Matrix): string {
  const matrix = prepareData(found);
  const { columns } = matrix;
  const details = worstDetails(matrix);
  const lines = [
    ...alignColumns([
      ["", ...columns.map(({ versions }) => `Istio ${versions.istio ?? "?"}`)],
      ["", ...columns.map(({ versions }) => (versions.envoy === undefined ? "" : `Envoy ${versions.envoy}`))],
      ...groupRows(matrix).map(([name, rows]) => [
        name === "" ? "(no group)" : name,
        ...columns.map((_, index) => {
          const { state, words } = summarize(rows, index);
          return state === "passed" || words === STATE_WORDS[state] ? words : `${words} ${STATE_WORDS[state]}`;
        }),
      ]),
    ]),
    ...listDetails(
      matrix,
      "Did not pass",
      details.filter(({ kind }) => kind !== "changed"),
    ),
    ...listDetails(
      matrix,
      "Changed between versions",
      details.filter(({ kind }) => kind === "changed"),
    ),
    ...skippedOf(matrix).flatMap(({ because, where, scenarios }, index) => [
      ...(index === 0 ? ["", "Skipped"] : []),
      `  ${nameColumns(matrix, where)}: ${plural(scenarios.length, "scenario")}, since ${because}`,
    ]),
    ...notesOfMatrix(matrix).map((line, index) => (index === 0 ? `\nnote: ${line}` : `note: ${line}`)),
    "",
    describeMatrix(matrix),
  ];
  return lines.map((line) => visible(line, { lines: true })).join("\n");
}

function listDetails(matrix: Matrix, title: string, details: readonly Detail[]): string[] {
  if (details.length === 0) return [];
  const shown = details.slice(0, LINES);
  return [
    "",
    title,
    ...shown.flatMap((detail) => {
      const { what, where, why } = wordsOf(matrix, detail);
      return [
        `  ${detail.scenario}  ${nameCell(detail)}`,
        `    ${where}: ${what}`,
        ...(why === undefined ? [] : [`    ${shorten(why, 400)}`]),
      ];
    }),
    ...(details.length > shown.length ? [`  ${details.length - shown.length} more are in the JSON`] : []),
  ];
}

/** A detail's three parts: what was seen, with which versions, and why. */
export function wordsOf(
  matrix: Matrix,
  { exception, change, where }: Detail,
): { readonly what: string; readonly where: string; readonly why?: string | undefined } {
  if (exception !== undefined)
    return {
      what: describeException(exception),
      where: nameColumns(matrix, where),
      why: explainException(matrix, exception),
    };
  return {
    what: change === undefined ? "" : `${describeSeen(change.before, change)} -> ${describeSeen(change.after, change)}`,
    where: nameSteps(matrix, where),
    why: change && explainChange(change),
  };
}

/** As JSON (schema: matrix.schema.json): one line per scenario, so that a difference between two files can be read. */
export function formatMatrixJson(found: Matrix): string {
  const { rows, ...rest } = prepareData(found);
  const head = JSON.stringify(rest, undefined, 2).replace(/\n\}$/, "");
  const lines = rows.map((row) => `    ${JSON.stringify(row)}`).join(",\n");
  return `${escapeJson(`${head},\n  "rows": [${lines === "" ? "" : `\n${lines}\n  `}]\n}`)}\n`;
}

const SIGNS: Readonly<Record<State, string>> = {
  ...{ passed: "✅", failed: "❌", flaky: "⚠️", error: "💥", known: "📌", skipped: "⏭️" },
  "not-run": "·",
};

interface MarkdownOptions {
  /** The address of a scenario's file. */
  readonly linkTo?: (row: MatrixRow) => string;
  /** The level of the first heading. */
  readonly title?: string;
}

/** The whole matrix as Markdown. */
export function formatMatrixMarkdown(found: Matrix, { linkTo, title }: MarkdownOptions = {}): string {
  const matrix = prepareData(found);
  const { columns } = matrix;
  const head = columns.map(({ versions }) => `${cell(versions.istio ?? "?")}<br>${cell(versions.envoy ?? "")}`);
  const groups = groupRows(matrix).flatMap(([name, rows]) => [
    `### ${cell(name === "" ? "Other scenarios" : name)}`,
    ...(provenBy(name) === undefined ? [] : [provenBy(name)!]),
    table(
      ["scenario, Istio<br>Envoy", ...head],
      rows.map((row) => [
        linkTo === undefined ? cell(row.scenario) : `[${cell(row.scenario)}](${linkTo(row)})`,
        ...row.cells.map((one, index) => {
          const since = describeSince(one, columns[index]!);
          const share = one.of === undefined ? STATE_WORDS[one.state] : shareOf(one);
          return `${SIGNS[one.state]} ${share}${since === undefined ? "" : ` ${since}`}`;
        }),
      ]),
    ),
  ]);
  return `${[
    title ?? `## meshproof matrix: ${cell(describeMatrix(matrix))}`,
    ...overview(matrix),
    ...details(matrix, LINES * 5),
    ...knownChanges(matrix),
    ...skipped(matrix),
    "## Every scenario",
    ...groups,
  ].join("\n\n")}\n`;
}

/** What begins a comment, so that a workflow finds the one that it wrote before. */
const COMMENT_MARK = "<!-- meshproof-matrix -->";

/** For a comment of a pull request: verdict, features and what did not pass, short enough for GitHub. */
export function formatMatrixComment(found: Matrix): string {
  const matrix = prepareData(found);
  const make = (limit: number): string =>
    `${[
      COMMENT_MARK,
      `## meshproof: ${cell(describeMatrix(matrix))}`,
      ...overview(matrix),
      ...details(matrix, limit),
      ...knownChanges(matrix),
      ...(skipped(matrix).length === 0
        ? []
        : [`${plural(skippedOf(matrix).length, "reason")} to skip scenarios: see the page.`]),
    ].join("\n\n")}\n`;
  const limit = [LINES, 50, 10, 0].find((each) => make(each).length <= COMMENT_LIMIT) ?? 0;
  return make(limit).slice(0, COMMENT_LIMIT);
}

function overview(matrix: Matrix): string[] {
  const { columns } = matrix;
  const present = STATES.filter((state) => columns.some((_, index) => countStates(cellsOf(matrix, index))[state] > 0));
  return [
    ...notesOfMatrix(matrix).map((line) => `> ${escapeMarkdown(line)}`),
    table(
      ["Istio", "Envoy", "Kubernetes", "run", ...present.map((state) => STATE_WORDS[state])],
      columns.map(({ versions, runs }, index) => {
        const counts = countStates(cellsOf(matrix, index));
        const { istio = "?", envoy = "", kubernetes = "" } = versions;
        const run = runs.at(-1);
        const words = run === undefined ? "none" : `${run.run} (${run.startedAt.slice(0, 10)})`;
        return [istio, envoy, kubernetes, words, ...present.map((state) => String(counts[state]))].map(cell);
      }),
    ),
    "Scenarios that passed or whose differences are known, of those that ran:",
    table(
      ["feature", ...columns.map((column) => cell(nameColumn(column)))],
      groupRows(matrix).map(([name, rows]) => [
        cell(name),
        ...columns.map((_, index) => {
          const { state, words } = summarize(rows, index);
          return `${SIGNS[state]} ${words}`;
        }),
      ]),
    ),
  ];
}

function details(matrix: Matrix, limit: number): string[] {
  const all = worstDetails(matrix);
  const list = (heading: string, found: readonly Detail[], columns: readonly string[]): string[] => {
    if (found.length === 0) return [];
    const shown = found.slice(0, limit);
    const rows = shown.map((detail) => {
      const { what, where, why } = wordsOf(matrix, detail);
      const known = detail.exception?.known ?? detail.change?.known?.id;
      const because = known === undefined ? (why ?? "") : `known change ${known}`;
      return [detail.scenario, nameCell(detail), where, what, because].map(cell);
    });
    const left = found.length - shown.length;
    return [
      `## ${heading}`,
      ...(rows.length === 0 ? [] : [table(["scenario", "check", ...columns], rows)]),
      ...(left > 0 ? [`${left} more are in the page and in the JSON.`] : []),
    ];
  };
  return [
    ...list(
      "What did not pass",
      all.filter(({ kind }) => kind !== "changed"),
      ["versions", "seen", "why"],
    ),
    ...list(
      "What changed between versions",
      all.filter(({ kind }) => kind === "changed"),
      ["between", "change", "why"],
    ),
  ];
}

/** What is known of the differences, with the sources as links. */
function knownChanges({ known }: Matrix): string[] {
  if (known.length === 0) return [];
  return [
    "## Known changes",
    known
      .map(({ id, sentence, source }) => {
        // An escaped address is not a link.
        const parts = source.split(/(https:\/\/[\w./#%?=&~+-]*[\w/])/);
        const linked = parts.map((part, index) => (index % 2 === 0 ? cell(part) : `<${part}>`)).join("");
        return `- **${cell(id)}**: ${cell(sentence)} Source: ${linked}`;
      })
      .join("\n"),
  ];
}

function skipped(matrix: Matrix): string[] {
  const found = skippedOf(matrix);
  if (found.length === 0) return [];
  return [
    "## What was skipped",
    table(
      ["versions", "scenarios", "because"],
      found.map(({ because, where, scenarios }) => [
        cell(nameColumns(matrix, where)),
        scenarios.map(({ scenario }) => cell(scenario)).join(", "),
        cell(because),
      ]),
    ),
  ];
}

const cell = (text: string): string => escapeMarkdown(text);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** What a matrix's badge says. */
export function describeBadge(matrix: Matrix): { readonly words: string; readonly good: boolean } {
  const versions = [...new Set(matrix.columns.flatMap(({ versions: { istio } }) => istio ?? []))];
  const of = versions.length > 2 ? `${versions[0]} to ${versions.at(-1)}` : versions.join(" and ");
  const code = matrixExitCode(matrix);
  return { words: `Istio ${of}: ${code === 0 ? "passes" : code === 1 ? "fails" : "not judged"}`, good: code === 0 };
}
