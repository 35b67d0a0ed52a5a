/** A trend. Plain data: the reports draw it, `meshproof trend --json` prints it. */

import type { Cell } from "./comparison.ts";
import type { Counts, Status } from "./result.ts";

/** A run, as a point of the trend. Times are milliseconds. */
export interface TrendRun {
  readonly run: string;
  readonly startedAt: string;
  /** Where its reports are. */
  readonly folder: string;
  readonly versions: Readonly<Record<"kubernetes" | "istio" | "envoy" | "meshproof", string>>;
  readonly counts: Counts;
  /** Some of its scenarios did not run. */
  readonly interrupted?: true;
  /** Over the checks that agreed in the end: median and 95th percentile, from the end of apply. */
  readonly enforced?: { readonly medianMs: number; readonly p95Ms: number };
}

/** A check (or, without a step, a scenario as a whole) that failed, flaked or was in error when it was last judged. */
export interface Failing extends Cell {
  readonly status: Status;
  readonly reason?: string;
  /** The run from which on it has not passed. */
  readonly since: { readonly run: string; readonly startedAt: string };
  /** The last run that it passed in; undefined where none here shows it passing. */
  readonly lastPassed?: { readonly run: string; readonly startedAt: string };
  /** How many runs in a row it has not passed in. */
  readonly runs: number;
  /** One for each run, oldest first; `absent` where the run did not have it. */
  readonly history: readonly (Status | "absent")[];
}

export interface Trend {
  readonly schemaVersion: 1;
  /** Oldest first. */
  readonly runs: readonly TrendRun[];
  /** Longest failing first. */
  readonly failing: readonly Failing[];
  /** What could not be read, and why. */
  readonly leftOut: readonly string[];
}
