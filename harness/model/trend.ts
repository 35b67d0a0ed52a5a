/** A trend. Plain data: reports show it, `meshproof trend --json` prints it. */

import type { Cell } from "./comparison.ts";
import type { Counts, Status } from "./result.ts";

/** One run of a trend. Times are milliseconds. */
export interface TrendRun {
  readonly run: string;
  readonly startedAt: string;
  /** Folder with its reports. */
  readonly folder: string;
  readonly versions: Readonly<Record<"kubernetes" | "istio" | "envoy" | "meshproof", string>>;
  readonly counts: Counts;
  /** True if some of its scenarios did not run. */
  readonly interrupted?: true;
  /** Median and 95th percentile over the checks that agreed in the end, from the end of apply. */
  readonly enforced?: { readonly medianMs: number; readonly p95Ms: number };
}

/** A check (or, without a step, a whole scenario) that failed, flaked or was in error when it was last judged. */
export interface Failing extends Cell {
  readonly status: Status;
  readonly reason?: string;
  /** The first run of the series in which it has not passed. */
  readonly since: { readonly run: string; readonly startedAt: string };
  /** The last run in which it passed; undefined if it passed in none of these runs. */
  readonly lastPassed?: { readonly run: string; readonly startedAt: string };
  /** Number of runs in a row in which it has not passed. */
  readonly runs: number;
  /** One status per run, oldest first; `absent` if the run did not have it. */
  readonly history: readonly (Status | "absent")[];
}

export interface Trend {
  readonly schemaVersion: 1;
  /** Oldest first. */
  readonly runs: readonly TrendRun[];
  /** Longest failing first. */
  readonly failing: readonly Failing[];
  /** Folders that could not be read, and why. */
  readonly leftOut: readonly string[];
}
