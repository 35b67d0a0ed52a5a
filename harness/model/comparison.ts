/** What differs between two runs. Plain data: the reports draw it, `meshproof diff --json` prints it. Times are milliseconds. */

import type { Finding } from "./finding.ts";
import type { Status } from "./result.ts";
import type { Position } from "./scenario.ts";

/** A run, as far as a comparison names it. */
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
  /** How much was judged. */
  readonly checks: number;
  readonly scenarios: number;
  /** Median over the checks that both sides have; informational. */
  readonly enforcedMs?: number;
}

/** What one run saw in a cell. */
export interface Seen {
  readonly status: Status;
  /** `200 from workload`'s number; undefined where the cell is no single request. */
  readonly answer?: number;
  readonly by?: string;
  /** The text of a reply that did not come from a workload. Hostile text. */
  readonly body?: string;
  /** Envoy's response code details. Hostile text. */
  readonly details?: string;
  readonly findings?: readonly Finding[];
  /** The findings in words. */
  readonly reason?: string;
  readonly enforcedMs?: number;
}

/** What of a cell differs, in the order in which it matters. */
export type Aspect = "answer" | "by" | "status" | "body" | "details";

export interface Cell {
  readonly scenario: string;
  /** Undefined where the scenario as a whole is meant: it was skipped, or broke outside its checks. */
  readonly step?: string;
  readonly check?: string;
  readonly position: Position;
}

export interface Change extends Cell {
  readonly before: Seen;
  readonly after: Seen;
  readonly aspects: readonly Aspect[];
  /** The entry of the list of known changes that explains all of it. */
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
  /** Only the second run has them. One that did not pass there is unexpected. */
  readonly added: readonly OneSided[];
  /** Only the first run has them. All of them are unexpected: nothing says that they still hold. */
  readonly removed: readonly OneSided[];
  /** Cells that are the same on both sides. */
  readonly same: number;
  /** Cells that were skipped or in error on both sides: the same, but nothing is known. */
  readonly unjudged: number;
  /**
   * Scenarios that a run which was interrupted did not finish, on either side: nothing of them is compared. Undefined where
   * both runs came to their ends.
   */
  readonly interrupted?: { readonly runs: readonly string[]; readonly scenarios: readonly string[] };
  /** Entries of the list whose versions these two runs cross and that no change needed. */
  readonly unseen: readonly string[];
  /** Changes not on the list, removed checks, and added ones that did not pass. */
  readonly unexpected: number;
}
