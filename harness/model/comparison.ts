/** The differences between two runs. Plain data: reports show it, `meshproof diff --json` prints it. Times are milliseconds. */

import * as z from "zod";
import type { Finding } from "./finding.ts";
import { findings, position, reason, status } from "./result.ts";
import { count, texts, time, type Immutable } from "./schema.ts";

export const versions = z
  .strictObject({ kubernetes: z.string(), istio: z.string(), envoy: z.string(), meshproof: z.string() })
  .meta({ id: "versions" });

const side = z
  .strictObject({
    run: z.string(),
    startedAt: z.iso.datetime(),
    cluster: z.string().describe("The kind of cluster."),
    versions,
    checks: count.describe("Number of checks that were judged."),
    scenarios: count,
    enforcedMs: time.describe("Median over the checks that both sides have, for information only.").optional(),
  })
  .meta({ id: "side" });
/** A run, as a comparison names it. */
export type Side = Immutable<z.infer<typeof side>>;

const seen = z
  .strictObject({
    status,
    answer: count.describe("The HTTP status; left out if the cell is not a single request.").optional(),
    by: z.string().describe("Who answered, or who asked the JWKS server.").optional(),
    body: z.string().describe("The body of a reply that did not come from a workload.").optional(),
    details: z.string().describe("Envoy's response code details.").optional(),
    findings: findings<Finding>("Why it has this status, as data."),
    reason,
    enforcedMs: time.optional(),
  })
  .meta({ id: "seen" });
/** The result of one run in a cell. Hostile text: escape before showing. */
export type Seen = Immutable<z.infer<typeof seen>>;

const aspect = z.enum(["answer", "by", "status", "body", "details"]);
/** The part of a cell that differs, most important first. */
export type Aspect = z.infer<typeof aspect>;

export const cell = z.strictObject({
  scenario: z.string(),
  step: z
    .string()
    .describe("Left out for a scenario as a whole: it was skipped, or failed outside its checks.")
    .optional(),
  check: z.string().optional(),
  position,
});
export type Cell = Immutable<z.infer<typeof cell>>;

export const change = z
  .strictObject({
    ...cell.shape,
    before: seen,
    after: seen,
    aspects: z.array(aspect).describe("The parts that differ, most important first."),
    known: z
      .strictObject({ id: z.string(), sentence: z.string(), source: z.string() })
      .describe("The entry of the list of known changes that explains the whole difference.")
      .optional(),
  })
  .meta({ id: "change" });
export type Change = Immutable<z.infer<typeof change>>;

const oneSided = z.strictObject({ ...cell.shape, seen }).meta({ id: "oneSided" });
export type OneSided = Immutable<z.infer<typeof oneSided>>;

export const comparisonFile = z
  .strictObject({
    schemaVersion: z.literal(1),
    before: side,
    after: side,
    changes: z.array(change),
    added: z.array(oneSided).describe("Cells that only the second run has. One that did not pass is unexpected."),
    removed: z
      .array(oneSided)
      .describe(
        "Cells that only the first run has. All are unexpected: it is not known whether they would still pass.",
      ),
    same: count.describe("Number of cells that are the same on both sides."),
    unjudged: count.describe("Number of cells that were skipped or in error on both sides: the same, but not judged."),
    interrupted: z
      .strictObject({ runs: texts, scenarios: texts })
      .describe(
        "Scenarios that an interrupted run did not finish, on either side: they are not compared. Left out if both runs are complete.",
      )
      .optional(),
    unseen: texts.describe("Entries of the list that apply to these two versions and that explain no difference."),
    unexpected: count.describe(
      "Number of changes not on the list, removed checks, and added checks that did not pass.",
    ),
  })
  .meta({
    title: "meshproof diff",
    description:
      "The differences between two runs (diff.json, `meshproof diff --json`). Times are milliseconds. Text from a mesh is hostile: escape it before showing.",
  });
export type Comparison = Immutable<z.infer<typeof comparisonFile>>;
