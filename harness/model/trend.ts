/** A trend. Plain data: reports show it, `meshproof trend --json` prints it. Times are milliseconds. */

import * as z from "zod";
import { cell, versions } from "./comparison.ts";
import { counts, status } from "./result.ts";
import { count, texts, time, type Immutable } from "./schema.ts";

const run = z
  .strictObject({
    run: z.string(),
    startedAt: z.iso.datetime(),
    folder: z.string().describe("The folder with its reports."),
    versions,
    counts,
    interrupted: z.literal(true).describe("Some of its scenarios did not run.").optional(),
    enforced: z
      .strictObject({ medianMs: time, p95Ms: time })
      .describe("Median and 95th percentile over the checks that agreed in the end, from the end of apply.")
      .optional(),
  })
  .meta({ id: "run" });
/** One run of a trend. */
export type TrendRun = Immutable<z.infer<typeof run>>;

const occasion = z.strictObject({ run: z.string(), startedAt: z.iso.datetime() }).meta({ id: "occasion" });

const failing = z
  .strictObject({
    ...cell.shape,
    status,
    reason: z.string().optional(),
    since: occasion.describe("The first run of the series in which it has not passed."),
    lastPassed: occasion
      .describe("The last run in which it passed; left out if it passed in none of these runs.")
      .optional(),
    runs: count.describe("Number of runs in a row in which it has not passed."),
    history: z
      .array(z.union([status, z.literal("absent")]))
      .describe("One status per run, oldest first; `absent` if the run did not have it."),
  })
  .meta({ id: "failing" });
/** A check (or, without a step, a whole scenario) that failed, flaked or was in error when it was last judged. */
export type Failing = Immutable<z.infer<typeof failing>>;

export const trendFile = z
  .strictObject({
    schemaVersion: z.literal(1),
    runs: z.array(run).describe("Oldest first."),
    failing: z.array(failing).describe("Longest failing first."),
    leftOut: texts.describe("Folders that could not be read, and why."),
  })
  .meta({
    title: "meshproof trend",
    description:
      "What fails since when (trend.json, `meshproof trend --json`). Times are milliseconds. Text from a mesh is hostile: escape it before showing.",
  });
export type Trend = Immutable<z.infer<typeof trendFile>>;
