/** Puts runs with several versions of a mesh side by side: scenarios in rows, versions in columns. Pure. */

import { nameItem } from "../model/items.ts";
import { compareRuns, seenInCheck } from "../compare/compare.ts";
import { compareVersions, explainsFailure } from "../compare/known.ts";
import type { Seen } from "../model/comparison.ts";
import type { KnownChange } from "../model/known.ts";
import {
  STATES,
  type Exception,
  type Matrix,
  type MatrixCell,
  type MatrixColumn,
  type State,
} from "../model/matrix.ts";
import { unfinishedOf, type RunResult, type ScenarioResult, type Status } from "../model/result.ts";
import type { PlacedRun } from "../trend/trend.ts";
import { partsOf, type Part } from "../verdict/status.ts";
import { neighboursOf } from "./neighbours.ts";

/** A version that was to be run, and why there is no run. */
export interface Missing {
  readonly asked: string;
  readonly istio: string;
  readonly envoy?: string;
  readonly problem: NonNullable<MatrixColumn["problem"]>;
}

export interface MatrixParts {
  readonly runs: readonly PlacedRun[];
  readonly missing?: readonly Missing[];
  readonly known: readonly KnownChange[];
  readonly leftOut?: readonly string[];
  /** meshproof's own version. */
  readonly version: string;
}

/** Runs with the same versions share a column, which shows the newest result of each scenario. */
export function findMatrix({ runs, missing = [], known, leftOut = [], version }: MatrixParts): Matrix {
  const filled = [...Map.groupBy(runs, nameVersions).values()].map((own) => fill(own, known));
  const columns = [...filled, ...missing.map(emptyColumn)].sort(
    (a, b) =>
      compareVersions(a.column.versions.istio, b.column.versions.istio) ||
      compareVersions(a.column.versions.envoy, b.column.versions.envoy) ||
      nameColumn(a).localeCompare(nameColumn(b)),
  );
  // The order of the newest run; what only others have comes after it.
  const newest = [...filled].sort((a, b) => b.newest.startedAt.localeCompare(a.newest.startedAt));
  const named = new Map<string, ScenarioResult>();
  for (const { scenarios } of newest)
    for (const [id, { scenario }] of scenarios) if (!named.has(id)) named.set(id, scenario);
  const rows = [...named.values()].map(({ id, title, source, tags, position }) => ({
    ...{ scenario: id, title, source, tags, position },
    cells: columns.map(({ scenarios }) => scenarios.get(id)?.cell ?? { state: "not-run" as const }),
  }));
  const steps = neighboursOf(columns.map(({ column }) => column)).flatMap(([from, to]) => {
    const [before, after] = [columns[from]?.whole, columns[to]?.whole];
    if (before === undefined || after === undefined) return [];
    const { changes, same } = compareRuns(before, after, known);
    return [{ from, to, same, changes: changes.filter(isJudged) }];
  });
  const used = new Set([
    ...rows.flatMap(({ cells }) =>
      cells.flatMap(({ exceptions = [] }) => exceptions.flatMap((one) => one.known ?? [])),
    ),
    ...steps.flatMap(({ changes }) => changes.flatMap((change) => change.known?.id ?? [])),
  ]);
  return {
    schemaVersion: 1,
    tool: { name: "meshproof", version },
    columns: columns.map(({ column }) => column),
    rows,
    steps,
    known: known.filter(({ id }) => used.has(id)).map(({ id, sentence, source }) => ({ id, sentence, source })),
    leftOut,
  };
}

interface Shown {
  readonly scenario: ScenarioResult;
  readonly cell: MatrixCell;
}

interface Filled {
  readonly column: MatrixColumn;
  readonly scenarios: ReadonlyMap<string, Shown>;
  /** The newest result of each scenario, as one run. */
  readonly whole?: RunResult;
}

const nameVersions = ({ result: { cluster } }: PlacedRun): string => JSON.stringify([cluster.kind, cluster.versions]);
const nameColumn = ({ column }: Filled): string => JSON.stringify([column.versions.kubernetes, column.cluster]);

function fill(placed: readonly PlacedRun[], known: readonly KnownChange[]): Filled & { readonly newest: RunResult } {
  const runs = [...placed].sort((a, b) => a.result.startedAt.localeCompare(b.result.startedAt));
  const newest = runs.at(-1)!.result;
  const { kind, versions } = newest.cluster;
  const has = { ...versions, meshproof: newest.tool.version };
  const scenarios = new Map<string, Shown>();
  for (const [index, { result }] of runs.entries()) {
    const unfinished = new Set(unfinishedOf(result));
    for (const scenario of result.scenarios) {
      if (unfinished.has(scenario)) continue;
      const before = scenarios.get(scenario.id)?.cell;
      const cell = cellOf(scenario, known, has);
      const isSame = before === undefined || before.state === cell.state;
      const past = isSame ? before?.before : before.state;
      const shown = {
        ...{ ...cell, run: index, since: isSame ? (before?.since ?? index) : index },
        ...(past !== undefined && { before: past }),
      };
      scenarios.delete(scenario.id); // the order of the newest run
      scenarios.set(scenario.id, { scenario, cell: shown });
    }
  }
  const { interrupted: _, ...rest } = newest;
  return {
    newest,
    scenarios,
    whole: { ...rest, scenarios: [...scenarios.values()].map(({ scenario }) => scenario) },
    column: {
      cluster: kind,
      versions: {
        kubernetes: versions.kubernetes,
        istio: versions.istio,
        envoy: versions.envoy,
        meshproof: has.meshproof,
      },
      runs: runs.map(({ folder, result: { id, startedAt, counts } }) => ({ run: id, startedAt, folder, counts })),
      ...(newest.inputs && { scenarios: newest.inputs.scenarios }),
      ...(newest.interrupted === true && { interrupted: true as const }),
    },
  };
}

function emptyColumn({ asked, istio, envoy, problem }: Missing): Filled {
  const versions = { istio, ...(envoy !== undefined && { envoy }) };
  return { column: { asked, versions, runs: [], problem }, scenarios: new Map() };
}

const STATE_OF: Readonly<Record<Status, State>> = {
  ...{ passed: "passed", failed: "failed", flaky: "flaky", error: "error", skipped: "skipped" },
  "known-failure": "known",
};

function cellOf(
  scenario: ScenarioResult,
  known: readonly KnownChange[],
  versions: Readonly<Record<"kubernetes" | "istio" | "envoy" | "meshproof", string>>,
): MatrixCell {
  const parts = partsOf(scenario);
  const exceptions = parts
    .filter(({ status }) => status !== "passed")
    .map((part): Exception => {
      const entry = known.find((each) => explainsPart(each, versions, scenario, part));
      return { ...exceptionOf(scenario, part), ...(entry && { known: entry.id }) };
    });
  const states = exceptions.map(({ status, known: id }) => (id === undefined ? STATE_OF[status] : "known"));
  const state = STATES.find((each) => states.includes(each)) ?? "passed";
  return {
    state,
    ...(state !== "skipped" && { passed: parts.length - exceptions.length, of: parts.length }),
    ...(exceptions.length > 0 && { exceptions }),
  };
}

function exceptionOf(scenario: ScenarioResult, { status, step, ...part }: Part): Exception {
  const { check } = part;
  const item = check ?? part.asked ?? part.admission;
  const { position, findings, reason } = item ?? scenario;
  const stepFindings =
    step === undefined ? scenario.steps.find((each) => each.findings !== undefined)?.findings : undefined;
  const found = findings ?? stepFindings;
  const name = item && nameItem(item);
  return {
    ...(step && { step: step.name }),
    ...(name !== undefined && { check: name }),
    position,
    status,
    ...(check && {
      expected: { status: check.expected.status, by: check.expected.by },
      got: { status: check.got.status, by: check.got.by },
    }),
    ...(found === undefined ? reason !== undefined && { reason } : { findings: found }),
  };
}

/**
 * Only a check that failed: one that flaked has not settled on the other behaviour. A scenario in error, only where the entry names the
 * finding: errors of an environment are not known.
 */
function explainsPart(
  entry: KnownChange,
  versions: Readonly<Record<"kubernetes" | "istio" | "envoy" | "meshproof", string>>,
  scenario: ScenarioResult,
  part: Part,
): boolean {
  const { id } = scenario;
  const { status, step, check } = part;
  if (status === "error" && step === undefined) {
    if (entry.from.finding === undefined && entry.to.finding === undefined) return false;
    const { findings } = exceptionOf(scenario, part);
    const got: Seen = { status, ...(findings && { findings }) };
    return explainsFailure(entry, versions, { scenario: id }, { expected: { status: "passed" }, got });
  }
  if (status !== "failed" || step === undefined || check === undefined) return false;
  const { expected } = check;
  const { body } = expected;
  const text = typeof body === "object" ? ("is" in body ? body.is : undefined) : body;
  const asSeen: Seen = {
    ...{ status: "passed", answer: expected.status, by: expected.by },
    ...(text !== undefined && { body: text }),
    ...(expected.details !== undefined && { details: expected.details }),
  };
  const cell = { scenario: id, step: step.name, check: check.name };
  return explainsFailure(entry, versions, cell, { expected: asSeen, got: seenInCheck(check) });
}

const JUDGED: readonly Status[] = ["passed", "failed", "flaky", "known-failure"];

/** A check that flaked with one version, and gives the same answer with the other, did not change between them. */
function isJudged({ step, before, after, aspects }: Matrix["steps"][number]["changes"][number]): boolean {
  const flakes = aspects.length === 1 && aspects[0] === "status" && [before.status, after.status].includes("flaky");
  return step !== undefined && !flakes && JUDGED.includes(before.status) && JUDGED.includes(after.status);
}
