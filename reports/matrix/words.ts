/** What a matrix of scenarios and versions says, in words. Plain text that may hold hostile text: each format escapes it. */

import type { Change } from "../../harness/model/comparison.ts";
import {
  STATES,
  type Exception,
  type Matrix,
  type MatrixCell,
  type MatrixColumn,
  type MatrixRow,
  type State,
} from "../../harness/model/matrix.ts";
import { describeWhy } from "../describe.ts";
import { describeMeaning } from "../diff.ts";
import { plural } from "../text.ts";

export const STATE_WORDS: Readonly<Record<State, string>> = {
  ...{ failed: "failed", flaky: "flaky", error: "error", known: "known", skipped: "skipped", passed: "passed" },
  "not-run": "not run",
};

export type Counted = Readonly<Record<State, number>>;

/** How many of these cells have each state. */
export function countStates(cells: readonly MatrixCell[]): Counted {
  const counts = Object.fromEntries(STATES.map((state) => [state, 0])) as Record<State, number>;
  for (const { state } of cells) counts[state]++;
  return counts;
}

/** The cells of a column. */
export function cellsOf({ rows }: Pick<Matrix, "rows">, column: number): MatrixCell[] {
  return rows.flatMap(({ cells }) => cells[column] ?? []);
}

/** The worst state among these cells: a skipped scenario does not count where another one ran. */
export function worstState(counts: Counted): State {
  const order: readonly State[] = ["failed", "flaky", "error", "known", "passed", "skipped", "not-run"];
  return order.find((state) => counts[state] > 0) ?? "not-run";
}

export function describeMatrix(matrix: Matrix): string {
  const { columns, rows } = matrix;
  const many = plural(columns.length, "version");
  const withState = (...states: readonly State[]): number =>
    columns.filter((_, index) => cellsOf(matrix, index).some(({ state }) => states.includes(state))).length;
  if (withState("failed") > 0) return `scenarios fail with ${withState("failed", "flaky")} of ${many}`;
  if (withState("flaky") > 0) return `scenarios are flaky with ${withState("flaky")} of ${many}`;
  const broken = columns.filter(
    ({ problem, interrupted }, index) =>
      problem !== undefined || interrupted === true || cellsOf(matrix, index).some(({ state }) => state === "error"),
  ).length;
  if (broken > 0) return `${broken} of ${many} could not be judged completely`;
  const known = rows.filter(({ cells }) => cells.some(({ state }) => state === "known")).length;
  const every = rows.some(({ cells }) => cells.some(({ state }) => state === "skipped"))
    ? "every scenario that can run passes"
    : "every scenario passes";
  return `${every} with ${many}${known === 0 ? "" : `, except for known differences in ${plural(known, "scenario")}`}`;
}

/** `Istio 1.31.0, Envoy 1.40.0`. */
export function nameColumn({ versions: { istio, envoy }, cluster }: MatrixColumn): string {
  return [
    ...(istio === undefined ? [] : [`Istio ${istio}`]),
    ...(envoy === undefined ? [] : [`Envoy ${envoy}`]),
    ...(cluster === undefined || cluster === "embedded" ? [] : [cluster]),
  ].join(", ");
}

/** Which of several versions are meant, as short as it is exact: `Envoy 1.36.4` if that is so with every Istio. */
export function nameColumns({ columns }: Pick<Matrix, "columns">, chosen: readonly number[]): string {
  if (chosen.length === columns.length) return columns.length === 1 ? nameColumn(columns[0]!) : "all versions";
  for (const key of ["envoy", "istio"] as const) {
    const values = [...new Set(chosen.map((index) => columns[index]?.versions[key]))];
    const all = columns.flatMap(({ versions }, index) => (values.includes(versions[key]) ? [index] : []));
    if (all.length === chosen.length && !values.includes(undefined))
      return `${key === "envoy" ? "Envoy" : "Istio"} ${values.join(" and ")}`;
  }
  const byIstio = Map.groupBy(chosen, (index) => columns[index]?.versions.istio);
  return [...byIstio]
    .map(([istio, own]) => {
      const envoys = own.flatMap((index) => columns[index]?.versions.envoy ?? []);
      return `Istio ${istio}${envoys.length === 0 ? "" : ` with Envoy ${envoys.join(" and ")}`}`;
    })
    .join("; ");
}

/** `Envoy 1.36.4 -> 1.38.3`, with the Istio where it is not the same for every one. */
export function nameSteps({ columns, steps }: Pick<Matrix, "columns" | "steps">, chosen: readonly number[]): string {
  const parts = (index: number): { what: string; where: string } => {
    const [from, to] = [columns[steps[index]!.from]!.versions, columns[steps[index]!.to]!.versions];
    const arrow = (key: "istio" | "envoy"): string =>
      `${key === "istio" ? "Istio" : "Envoy"} ${from[key] ?? "?"} -> ${to[key] ?? "?"}`;
    if (from.istio === to.istio) return { what: arrow("envoy"), where: `Istio ${to.istio}` };
    if (from.envoy === to.envoy) return { what: arrow("istio"), where: `Envoy ${to.envoy}` };
    return { what: `${arrow("istio")}, ${arrow("envoy")}`, where: "" };
  };
  const all = Map.groupBy(steps.keys(), (index) => parts(index).what);
  return [...Map.groupBy(chosen, (index) => parts(index).what)]
    .map(([what, own]) => {
      const where = own.map((index) => parts(index).where).filter((words) => words !== "");
      return own.length === all.get(what)?.length || where.length === 0 ? what : `${what} (${where.join(" and ")})`;
    })
    .join("; ");
}

/** `12/12`; a dash where it did not run. */
export function shareOf({ passed, of }: MatrixCell): string {
  return of === undefined ? "–" : `${passed}/${of}`;
}

/** Since which run a cell has its state, where an earlier run of the same version had another one. */
export function describeSince({ since, before }: MatrixCell, { runs }: MatrixColumn): string | undefined {
  const run = since === undefined ? undefined : runs[since];
  if (run === undefined || before === undefined) return undefined;
  return `since ${run.startedAt.slice(0, 10)}, before ${STATE_WORDS[before]}`;
}

/** `200 from workload, expected 403 from authorization`, or what status the scenario has. */
export function describeException({ expected, got, status }: Exception): string {
  if (expected === undefined || got === undefined) return status;
  const named = ({ status: code, by }: { status: number; by: string }): string =>
    code === 0 ? "no answer" : `${code} from ${by}`;
  return named(got) === named(expected) ? `${named(got)}, ${status}` : `${named(got)}, expected ${named(expected)}`;
}

/** Why it did not pass: what is known of it, else its findings. */
export function explainException({ known }: Matrix, exception: Exception): string | undefined {
  const entry = known.find(({ id }) => id === exception.known);
  if (entry !== undefined) return `known: ${entry.sentence} (${entry.source})`;
  return describeWhy(exception.findings) ?? exception.reason;
}

/** The source of what is known of a change, else what the change means. */
export function explainChange(change: Change): string | undefined {
  if (change.known !== undefined) return `known: ${change.known.sentence} (${change.known.source})`;
  return describeMeaning(change) ?? describeWhy(change.after.findings ?? change.before.findings);
}

/** Notes that a reader needs to trust the comparison. */
export function notesOfMatrix({ columns, leftOut }: Matrix): string[] {
  const sets = new Set(columns.flatMap(({ scenarios }) => scenarios ?? []));
  const tools = new Set(columns.flatMap(({ versions }) => versions.meshproof ?? []));
  return [
    ...columns.flatMap((column) =>
      column.problem === undefined ? [] : [`${nameColumn(column)} could not be run: ${column.problem.message}`],
    ),
    ...columns.flatMap((column) =>
      column.interrupted === true ? [`The newest run of ${nameColumn(column)} was interrupted.`] : [],
    ),
    ...(sets.size > 1 || tools.size > 1
      ? [
          "The versions were not run with the same scenarios and the same meshproof, so a difference may come from these.",
        ]
      : []),
    ...leftOut.map((line) => `left out: ${line}`),
  ];
}

/** One line of what did not pass or changed in a scenario, for all versions where it is the same. */
export interface Detail {
  readonly scenario: string;
  readonly step?: string;
  readonly check?: string;
  readonly kind: State | "changed";
  /** Numbers of columns, or of steps for what changed. */
  readonly where: readonly number[];
  readonly exception?: Exception;
  readonly change?: Change;
}

/** The details of all scenarios, the worst first. */
export function worstDetails(matrix: Matrix): Detail[] {
  const order: readonly Detail["kind"][] = [...STATES, "changed"];
  return detailsOf(matrix).sort((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
}

/** What did not pass, without what was skipped, and what changed: by scenario, equal lines of several versions as one. */
export function detailsOf({ rows, steps }: Matrix): Detail[] {
  return rows.flatMap(({ scenario, cells }) => {
    const found = new Map<string, Detail>();
    const add = (key: readonly unknown[], detail: Omit<Detail, "where">, index: number): void => {
      const name = JSON.stringify(key);
      const before = found.get(name);
      found.set(name, { ...detail, where: [...(before?.where ?? []), index] });
    };
    for (const [index, { state, exceptions = [] }] of cells.entries())
      for (const exception of state === "skipped" ? [] : exceptions) {
        const { step, check, status, got, known } = exception;
        const kind =
          known !== undefined || status === "known-failure" ? "known" : status === "passed" ? "passed" : status;
        const named = { ...(step !== undefined && { step }), ...(check !== undefined && { check }) };
        add([kind, step, check, got, known], { scenario, ...named, kind, exception }, index);
      }
    for (const [index, { changes }] of steps.entries())
      for (const change of changes.filter((one) => one.scenario === scenario)) {
        const { step, check, before, after, known } = change;
        const named = { ...(step !== undefined && { step }), ...(check !== undefined && { check }) };
        const sides = [before, after].map(({ status, answer, by, body, details }) => [
          status,
          answer,
          by,
          body,
          details,
        ]);
        add(["changed", step, check, sides, known?.id], { scenario, ...named, kind: "changed", change }, index);
      }
    return [...found.values()];
  });
}

export interface SkippedFor {
  readonly because: string;
  /** Numbers of columns. */
  readonly where: readonly number[];
  readonly scenarios: readonly MatrixRow[];
}

/** The scenarios that were skipped, by reason; a scenario whose reasons differ between versions is in several. */
export function skippedOf({ rows }: Matrix): SkippedFor[] {
  const found = new Map<string, { because: string; where: number[]; scenarios: MatrixRow[] }>();
  for (const row of rows) {
    const reasons = new Map<string, number[]>();
    for (const [index, { state, exceptions: [one] = [] }] of row.cells.entries())
      if (state === "skipped") {
        const because = describeWhy(one?.findings) ?? one?.reason ?? "";
        reasons.set(because, [...(reasons.get(because) ?? []), index]);
      }
    for (const [because, where] of reasons) {
      const key = JSON.stringify([because, where]);
      const entry = found.get(key) ?? { because, where, scenarios: [] };
      entry.scenarios.push(row);
      found.set(key, entry);
    }
  }
  return [...found.values()];
}
