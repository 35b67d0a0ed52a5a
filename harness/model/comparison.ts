/** The differences between two runs. Plain data: reports show it, `meshproof diff --json` prints it. Times are milliseconds. */

import type { Finding } from "./finding.ts";
import type { Status } from "./result.ts";
import type { Position } from "./scenario.ts";

/** A run, as a comparison names it. */
export interface Side {
  readonly run: string;
  readonly startedAt: string;
  readonly cluster: string;
  readonly versions: {
    readonly kubernetes: string;
    readonly istio: string;
    readonly envoy: string;
    readonly meshproof: string;
  };
  /** Number of checks that were judged. */
  readonly checks: number;
  readonly scenarios: number;
  /** Median over the checks that both sides have, for information only. */
  readonly enforcedMs?: number;
}

/** The result of one run in a cell. */
export interface Seen {
  readonly status: Status;
  /** The status code of `200 from workload`; undefined if the cell is not a single request. */
  readonly answer?: number;
  readonly by?: string;
  /** The body of a reply that did not come from a workload. Hostile text. */
  readonly body?: string;
  /** Envoy's response code details. Hostile text. */
  readonly details?: string;
  readonly findings?: readonly Finding[];
  /** The findings as sentences. */
  readonly reason?: string;
  readonly enforcedMs?: number;
}

/** The part of a cell that differs, most important first. */
export type Aspect = "answer" | "by" | "status" | "body" | "details";

export interface Cell {
  readonly scenario: string;
  /** Undefined for a scenario as a whole: it was skipped, or failed outside its checks. */
  readonly step?: string;
  readonly check?: string;
  readonly position: Position;
}

export interface Change extends Cell {
  readonly before: Seen;
  readonly after: Seen;
  readonly aspects: readonly Aspect[];
  /** The entry of the list of known changes that explains the whole difference. */
  readonly known?: { readonly id: string; readonly sentence: string; readonly source: string };
}

export interface OneSided extends Cell {
  readonly seen: Seen;
}

export interface Comparison {
  readonly schemaVersion: 1;
  readonly before: Side;
  readonly after: Side;
  readonly changes: readonly Change[];
  /** Cells that only the second run has. One that did not pass is unexpected. */
  readonly added: readonly OneSided[];
  /** Cells that only the first run has. All are unexpected: it is not known whether they would still pass. */
  readonly removed: readonly OneSided[];
  /** Number of cells that are the same on both sides. */
  readonly same: number;
  /** Number of cells that were skipped or in error on both sides: the same, but not judged. */
  readonly unjudged: number;
  /**
   * Scenarios that an interrupted run did not finish, on either side: they are not compared. Undefined if both runs are
   * complete.
   */
  readonly interrupted?: { readonly runs: readonly string[]; readonly scenarios: readonly string[] };
  /** Entries of the list that apply to these two versions and that explain no difference. */
  readonly unseen: readonly string[];
  /** Number of changes not on the list, removed checks, and added checks that did not pass. */
  readonly unexpected: number;
}
