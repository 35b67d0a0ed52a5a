import {
  describeAdmission,
  describeChanges,
  describeConfigInShort,
  describeExpected,
  describeExpectedAdmission,
  describeExpectedAsker,
  describeForce,
  describeGot,
  describeObject,
  describePolicy,
  describeRequest,
  describeSeenAskers,
  describeWhy,
  notesOf,
  repeatOf,
} from "./describe.ts";
import path from "node:path";
import type { Finding } from "../harness/model/finding.ts";
import type { CheckResult, RunResult, ScenarioResult, Status, StepResult } from "../harness/model/result.ts";
import { outcomesOf, policiesInForce, worstFirst, type Outcome } from "./outcome.ts";
import { changesIn, describePolicyChanges } from "./policy-words.ts";
import { drawMatrix } from "./matrix-text.ts";
import { prepare } from "./prepare.ts";
import { redact } from "../harness/safe/redact.ts";
import { visible } from "../harness/safe/visible.ts";
import { formatDuration, plural } from "./text.ts";

export interface TerminalOptions {
  /** Whether to colour with ANSI escapes; default off. No information is only in a colour. */
  readonly color?: boolean;
  /** Path of the report, for the line that names it. */
  readonly report?: string;
}

/** From this number on, differing cells of one matrix are printed together. */
const groupFrom = 2;
const labelWidth = 10;

/** A line with its kind, so that colouring does not parse its text: a field has a label, `expected` has the difference. */
type Line =
  | string
  | { readonly kind: "head" | "expected" | "table"; readonly text: string }
  | { readonly kind: "field"; readonly label: string; readonly text: string };

/**
 * Formats one outcome that did not pass: file and line, name, expected and got, the request, the policies in force, the
 * reason, and the command that repeats it. Several lines without a final line feed.
 */
export function formatFailure(outcome: Outcome, options: TerminalOptions = {}): string {
  return finish(
    [head(outcome.position.file, outcome.position.line, label(outcome), outcome.status), ...body(outcome)],
    options,
  );
}

/** The outcomes that did not pass, times, and the report's path; counts in the last line: `N passed, N failed[, N skipped]`. */
export function formatSummary(result: RunResult, options: TerminalOptions = {}): string {
  const prepared = prepare(result);
  const notes = notesOf(prepared);
  const outcomes = worstFirst(prepared.scenarios).flatMap(outcomesOf);
  const bad = (status: Status) => outcomes.filter((outcome) => outcome.status === status);
  const blocks = [
    ...formatGroup("Failed", bad("failed"), options),
    ...formatGroup("Flaky", bad("flaky"), options),
    ...formatGroup("Errors", bad("error"), options),
    ...formatList("Known failures", bad("known-failure"), options),
    ...formatList("Skipped", bad("skipped"), options),
    ...(notes.length === 0
      ? []
      : [
          finish(
            notes.map((note) => `note: ${note}`),
            {},
          ),
        ]),
    finish([...times(prepared, outcomes), ...where(prepared, options)], options),
    ...closing(prepared, options),
  ];
  return blocks.join("\n\n");
}

/** The paths of the report and of the diagnostics. */
function where({ scenarios }: RunResult, { report }: TerminalOptions): Line[] {
  if (report === undefined) return [];
  const kept = scenarios.some(({ diagnostics = [] }) => diagnostics.length > 0);
  return [
    field("report", report),
    ...(kept ? [field("evidence", path.join(path.dirname(report), "diagnostics"))] : []),
  ];
}

/** The last lines: the parts of the counts, if any, then the counts. */
function closing(result: RunResult, options: TerminalOptions): string[] {
  const { passed, failed, flaky, error, skipped } = result.counts;
  const known = result.counts["known-failure"];
  const split =
    flaky + error > 0 ? [[failed, "failed"] as const, [flaky, "flaky"] as const, [error, "in error"] as const] : [];
  const parts = [
    ...split.filter(([n]) => n > 0).map(([n, word]) => `${n} ${word}`),
    ...(known > 0 ? [plural(known, "known failure")] : []),
  ];
  const nothing = passed + failed + flaky + error + known === 0 ? ["nothing was checked"] : [];
  const bad = failed + flaky + error;
  const last = `${passed} passed, ${bad} failed${skipped > 0 ? `, ${skipped} skipped` : ""}`;
  const lines = [
    ...nothing,
    ...(parts.length > 0 ? [parts.join(", ")] : []),
    paint(options, bad > 0 ? "31;1" : "32;1", last),
  ];
  return [lines.join("\n")];
}

/** How many changes of the user's policies the summary prints. */
const MOST_CHANGES = 5;

function times(result: RunResult, outcomes: readonly Outcome[]): Line[] {
  const { meshReadyMs, workloadsReadyMs, firstVerdictMs, totalMs } = result.timing;
  const { kind, versions } = result.cluster;
  const slowest = outcomes
    .filter(({ check, step, status }) => check !== undefined && step?.objects.length !== 0 && status === "passed")
    .sort((a, b) => (b.check?.enforcedMs ?? 0) - (a.check?.enforcedMs ?? 0))[0];
  const changed = changesIn(result);
  const more = changed.length > MOST_CHANGES ? [`${changed.length - MOST_CHANGES} more changes in the report`] : [];
  return [
    // Also where all passed: it passed with these.
    ...list("changed", [...changed.slice(0, MOST_CHANGES), ...more]),
    field("cluster", `${kind}, Kubernetes ${versions.kubernetes}, Istio ${versions.istio}, Envoy ${versions.envoy}`),
    ...(slowest?.check && slowest.check.enforcedMs > 0
      ? [
          field(
            "slowest",
            `enforced after ${formatDuration(slowest.check.enforcedMs)}: ${slowest.scenario.id}, ${slowest.name}`,
          ),
        ]
      : []),
    field(
      "times",
      `mesh ready ${formatDuration(meshReadyMs)}, workloads ready ${formatDuration(workloadsReadyMs)}, first verdict ${formatDuration(firstVerdictMs)}, end ${formatDuration(totalMs)}`,
    ),
  ];
}

function formatGroup(title: string, outcomes: readonly Outcome[], options: TerminalOptions): string[] {
  if (outcomes.length === 0) return [];
  return [paint(options, "1", `${title} (${outcomes.length})`), ...formatGroups(outcomes, options)];
}

/** Outcomes that did not pass, one block each; many of one matrix share a block. */
export function formatGroups(outcomes: readonly Outcome[], options: TerminalOptions): string[] {
  return groupByMatrix(outcomes).flatMap((group) => {
    const step = group[0]?.step;
    if (group.length < groupFrom || step === undefined) return group.map((outcome) => formatFailure(outcome, options));
    return [formatMatrixFailure(group, step, options)];
  });
}

/** Lists scenarios by reason: the single checks of a known failure need no action. */
function formatList(title: string, outcomes: readonly Outcome[], options: TerminalOptions): string[] {
  if (outcomes.length === 0) return [];
  const reasonOf = ({ scenario, reason }: Outcome): string => scenario.reason ?? reason ?? "no reason was given";
  const lines = [...Map.groupBy(outcomes, reasonOf)].flatMap(([reason, those]): Line[] => [
    ...[...Map.groupBy(those, ({ scenario }) => scenario)].map(([scenario, own]) =>
      own.length > 1 ? `${scenario.id}  ${plural(own.length, "check")}` : scenario.id,
    ),
    field("why", reason),
  ]);
  return [`${paint(options, "1", `${title} (${outcomes.length})`)}\n\n${finish(lines, options)}`];
}

/** Groups neighbours of the same matrix; all others are single. */
function groupByMatrix(outcomes: readonly Outcome[]): Outcome[][] {
  const groups: Outcome[][] = [];
  for (const outcome of outcomes) {
    const last = groups.at(-1)?.[0];
    const matrix = outcome.check?.cell?.matrix;
    if (matrix !== undefined && last?.step === outcome.step && last?.check?.cell?.matrix === matrix)
      groups.at(-1)?.push(outcome);
    else groups.push([outcome]);
  }
  return groups;
}

/** Formats many cells of one matrix: the rows and columns that differ, `got (expected)` in each differing cell; the rest once. Another status comes before what differs beside it. */
function formatMatrixFailure(cells: readonly Outcome[], step: StepResult, options: TerminalOptions): string {
  const group = [...cells].sort((a, b) => Number(hasOtherStatus(b)) - Number(hasOtherStatus(a)));
  const first = group[0] as Outcome;
  const check = first.check as CheckResult;
  const index = check.cell?.matrix ?? 0;
  const all = step.checks.filter((each) => each.cell?.matrix === index).length;
  const differences = [...new Set(group.map(({ check: own }) => difference(first.status, own as CheckResult)))];
  const more = differences.length > 3 ? [`${differences.length - 3} more kinds of difference in the report`] : [];
  const lines: Line[] = [
    head(
      first.position.file,
      first.position.line,
      `${step.name}: ${group.length} of ${plural(all, "check")} differ`,
      first.status,
    ),
    ...differences.slice(0, 3).map((text) => ({ kind: "expected" as const, text })),
    ...[...more, ...drawMatrix(cells, step, index)].map((text) => ({ kind: "table" as const, text })),
    field("request", describeRequest(check), "and the like"),
    ...circumstances(group),
    repeat(first),
  ];
  return finish(lines, options);
}

function hasOtherStatus({ check }: Outcome): boolean {
  return check !== undefined && check.got.status !== check.expected.status;
}

function label(outcome: Outcome): string {
  return outcome.step === undefined ? `${outcome.scenario.id}: ${outcome.name}` : outcome.name;
}

function body(outcome: Outcome): Line[] {
  const { check, asked, admission } = outcome;
  if (check !== undefined) {
    return [
      { kind: "expected", text: difference(outcome.status, check) },
      field("request", describeRequest(check)),
      ...circumstances([outcome]),
      // A plain failure has one answer; earlier answers matter only if they changed.
      ...(outcome.status === "failed" && check.changes.length <= 1
        ? []
        : list("seen", describeChanges(check).slice(-8))),
      repeat(outcome),
    ];
  }
  const wanted = [
    ...(asked === undefined ? [] : [`${describeExpectedAsker(asked)}; ${describeSeenAskers(asked)}`]),
    ...(admission === undefined
      ? []
      : [`${admission.object} ${describeExpectedAdmission(admission)}; ${describeAdmission(admission)}`]),
  ].map((text) => ({ kind: "expected" as const, text }));
  return [...wanted, ...circumstances([outcome]), repeat(outcome)];
}

function difference(status: Status, check: CheckResult): string {
  const seen = status === "flaky" ? "got it only after other answers" : `got ${describeGot(check)}`;
  return `${describeExpected(check)}, ${seen}`;
}

/** The parts that do not depend on a single check: policies, reasons, the proxy's details. */
function circumstances(group: readonly Outcome[]): Line[] {
  const { scenario, step } = group[0] as Outcome;
  const details = [...new Set(group.flatMap((outcome) => outcome.check?.got.details ?? []))].filter(
    (text) => text !== "via_upstream",
  );
  const why = reasons(group);
  // The explanation by the proxy's config: one sentence here, the rest in the report.
  const configs = [
    ...new Set(group.flatMap((outcome) => (outcome.check ? describeConfigInShort(outcome.check) : undefined) ?? [])),
  ];
  return [
    ...(step === undefined ? [] : list("policies", policyLines(scenario, step, group.flatMap(findingsOf)))),
    ...(step === undefined ? [] : list("changed", changeLines(scenario, step))),
    ...list("why", why),
    ...list("details", details.slice(0, 3)),
    ...list("config", configs.slice(0, 2)),
  ];
}

function repeat(outcome: Outcome): Line {
  return field("repeat", repeatOf(outcome.scenario));
}

function policyLines(scenario: ScenarioResult, step: StepResult, told: readonly Finding[]): string[] {
  const current = scenario.steps.indexOf(step);
  const lines = [
    ...policiesInForce(scenario, step).map((policy) => describePolicy(policy, current, told)),
    ...step.objects
      .filter(({ verb }) => verb === "delete")
      .map((object) => `${describeObject(object)} (${describeForce(object, told)})`),
  ];
  return lines.length === 0 ? ["none"] : lines;
}

function changeLines(scenario: ScenarioResult, step: StepResult): string[] {
  return policiesInForce(scenario, step).flatMap(({ object }) => {
    const changed = describePolicyChanges(object);
    return changed === undefined ? [] : [`${describeObject(object)}: ${changed}`];
  });
}

function findingsOf({ findings, scenario }: Outcome): readonly Finding[] {
  return findings ?? scenario.findings ?? [];
}

/** Distinct reasons, at most five, each with its number of occurrences. */
function reasons(group: readonly Outcome[]): string[] {
  const given = new Map<string, number>();
  for (const outcome of group) {
    const text = describeWhy(findingsOf(outcome));
    if (text !== undefined) given.set(text, (given.get(text) ?? 0) + 1);
  }
  const lines = [...given].map(([text, times]) =>
    times < group.length ? `${text} (${times} of ${group.length})` : text,
  );
  return lines.length > 5 ? [...lines.slice(0, 5), `${lines.length - 5} more reasons in the report`] : lines;
}

function head(file: string, line: number, name: string, status: Status): Line {
  const mark = status === "failed" ? "" : `  [${status}]`;
  return { kind: "head", text: `${file}:${line}  ${name}${mark}` };
}

function field(label: string, value: string, more = ""): Line {
  return { kind: "field", label, text: `${value}${more === "" ? "" : `, ${more}`}` };
}

function list(label: string, values: readonly string[]): Line[] {
  return values.map((value, index) => field(index === 0 ? label : "", value));
}

/** Makes every line safe for a terminal, then colours it: the head bold, the labels dim, differences red. */
function finish(lines: readonly Line[], options: TerminalOptions): string {
  return lines.map((line) => draw(line, options)).join("\n");
}

function draw(line: Line, options: TerminalOptions): string {
  if (typeof line === "string") return visible(redact(line));
  const text = visible(redact(line.text));
  switch (line.kind) {
    case "head":
      return paint(options, "1", text);
    case "expected":
      return paint(options, "31", `  expected ${text}`);
    case "table":
      return `  ${text}`;
    case "field":
      return `  ${line.label === "" ? "" : paint(options, "2", line.label)}${" ".repeat(labelWidth - line.label.length)}${text}`;
  }
}

function paint(options: TerminalOptions, code: string, text: string): string {
  return options.color === true ? `\u001b[${code}m${text}\u001b[0m` : text;
}
