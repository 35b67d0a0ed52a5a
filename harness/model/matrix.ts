/** Scenarios against versions (`meshproof matrix`). Plain data: reports show it, `--json` prints it. Hostile text: escape before showing. */

import * as z from "zod";
import { change, versions } from "./comparison.ts";
import type { Finding } from "./finding.ts";
import { by, counts, findings, position, reason, status } from "./result.ts";
import { count, texts, type Immutable } from "./schema.ts";

/** The worst first. */
export const STATES = ["failed", "flaky", "error", "known", "skipped", "not-run", "passed"] as const;

const state = z.enum(STATES).meta({
  id: "state",
  description:
    "Of a scenario with a version, the worst of its checks: `known` if a known change (or a known failure with an owner) explains everything that did not pass; `not-run` if no run of this version has it.",
});
export type State = z.infer<typeof state>;

const run = z
  .strictObject({ run: z.string(), startedAt: z.iso.datetime(), folder: z.string(), counts })
  .meta({ id: "run" });

const column = z
  .strictObject({
    asked: z.string().describe("As `--with` names it; left out for results that existed.").optional(),
    cluster: z.string().describe("The kind of cluster.").optional(),
    versions: versions.partial().describe("Of the newest run; of a version without a run only what was asked for."),
    runs: z.array(run).describe("The runs with these versions, oldest first. Cells name them by their number here."),
    scenarios: z.string().describe("Of all files of the scenarios of the newest run.").optional(),
    interrupted: z.literal(true).describe("The newest run is not complete.").optional(),
    problem: z
      .strictObject({ code: z.string(), message: z.string() })
      .describe("What prevented a run: the cluster did not start.")
      .optional(),
  })
  .meta({ id: "column", description: "One version of the mesh." });
export type MatrixColumn = Immutable<z.infer<typeof column>>;

const knownBy = z.strictObject({ id: z.string(), sentence: z.string(), source: z.string() }).meta({ id: "knownBy" });
/** An entry of the list of known changes. */
export type KnownBy = Immutable<z.infer<typeof knownBy>>;

const answer = z.strictObject({ status: count, by });

const exception = z
  .strictObject({
    step: z.string().optional(),
    check: z.string().optional(),
    position,
    status,
    expected: answer.optional(),
    got: answer.optional(),
    findings: findings<Finding>("Why it has this status, as data."),
    reason,
    known: z.string().describe("The id of the known change that explains it.").optional(),
  })
  .meta({ id: "exception", description: "A check that did not pass; without step and check the scenario as a whole." });
export type Exception = Immutable<z.infer<typeof exception>>;

const cell = z
  .strictObject({
    state,
    passed: count.describe("Number of checks that passed.").optional(),
    of: count.describe("Number of checks; left out where the scenario did not run.").optional(),
    run: count.describe("The run that it comes from: a number in `runs` of the column.").optional(),
    since: count.describe("The first of the runs in a row that have this state.").optional(),
    before: state.describe("The state that an earlier run had; left out if it is the same in all runs.").optional(),
    exceptions: z.array(exception).optional(),
  })
  .meta({ id: "cell" });
export type MatrixCell = Immutable<z.infer<typeof cell>>;

const row = z
  .strictObject({
    scenario: z.string(),
    title: z.string(),
    source: z.string(),
    tags: texts,
    position,
    cells: z.array(cell).describe("One per column, in their order."),
  })
  .meta({ id: "row" });
export type MatrixRow = Immutable<z.infer<typeof row>>;

const step = z
  .strictObject({
    from: count.describe("The number of a column."),
    to: count.describe("The number of a column."),
    same: count.describe("Number of cells that are the same in both."),
    changes: z.array(change).describe("Checks that both have judged, and that differ."),
  })
  .meta({
    id: "step",
    description: "Two neighbouring versions: only one of Istio and Envoy differs, if there are such.",
  });
export type MatrixStep = Immutable<z.infer<typeof step>>;

export const matrixFile = z
  .strictObject({
    schemaVersion: z.literal(1),
    tool: z.strictObject({ name: z.literal("meshproof"), version: z.string() }),
    columns: z.array(column).describe("By Istio's version, then by Envoy's."),
    rows: z.array(row),
    steps: z.array(step).describe("What changed between neighbouring columns."),
    known: z.array(knownBy).describe("The known changes that explain something here."),
    leftOut: texts.describe("Results that could not be read, and why."),
  })
  .meta({
    title: "meshproof matrix",
    description:
      "Scenarios against versions (matrix.json, `meshproof matrix --json`). Text from a mesh is hostile: escape it before showing.",
  });
export type Matrix = Immutable<z.infer<typeof matrixFile>>;

/** 3 if a version could not be run, was interrupted or has an error; 1 if a check failed or flaked and nothing known explains it; else 0. */
export function matrixExitCode({ columns, rows }: Pick<Matrix, "columns" | "rows">): 0 | 1 | 3 {
  const states = new Set(rows.flatMap(({ cells }) => cells.map((one) => one.state)));
  if (states.has("failed") || states.has("flaky")) return 1;
  const broken = columns.some(({ problem, interrupted }) => problem !== undefined || interrupted === true);
  return broken || states.has("error") ? 3 : 0;
}
