/** The answer to a ticket. Plain data: the reports draw it, `meshproof repro --json` prints it. Hostile text: escape before showing. */

import type { Explanation } from "./explanation.ts";
import type { Cause, TicketNote } from "./finding.ts";
import type { AppliedObject, CheckResult } from "./result.ts";

/** A request with what came back, of which nothing was expected. */
export interface Observation extends Pick<CheckResult, "request" | "got" | "explanation" | "curl" | "cell"> {
  /** Whether the answer stayed the same for some rounds; the last one otherwise. */
  readonly settled: boolean;
}

/** An answer, as far as a number and a place tell it. */
export interface Answered {
  readonly status: number;
  readonly by: CheckResult["got"]["by"];
}

/** One request of the matrix, and what came back. */
export interface Cell extends Answered {
  /** The token in words, `none` without one; never the token. */
  readonly token: string;
  /** The first bytes of the body. */
  readonly body: string;
  /** Envoy's response code details. */
  readonly details?: string;
  /** curl's error text where no answer came. */
  readonly error?: string;
  /** What the judging proxy's own config says about the request. */
  readonly explanation?: Explanation;
  /** The command that sends it again; the token stands as `$TOKEN`. */
  readonly curl: string;
}

export interface ReproAnswer {
  readonly schemaVersion: 2;
  /** The name of its folder of results. */
  readonly id: string;
  readonly tool: { readonly name: string; readonly version: string };
  readonly startedAt: string;
  /** How to ask this again, one command; a token stands without its signature. */
  readonly command: string;
  readonly cause: Cause;
  /** The answer to the request as given. */
  readonly verdict: Answered & { readonly details?: string; readonly body: string };
  readonly request: string;
  /** What the reporter expected, and whether the mesh answers so. */
  readonly expected?: { readonly status: number; readonly met: boolean };
  readonly matrix: {
    readonly columns: readonly string[];
    readonly rows: readonly { readonly request: string; readonly cells: readonly Cell[] }[];
    /** The column of the request as given; its row is the first. */
    readonly given: string;
  };
  /** The rules for tokens and the policies in force, in Envoy's order, compared with the request as given. */
  readonly inForce?: Pick<Explanation, "providers" | "rules">;
  /** Policies that are in none of the proxies that judge the request, and other oddities of what was applied. */
  readonly notes: readonly TicketNote[];
  readonly changes: readonly string[];
  readonly notCarriedOver: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  /** What of the ticket's YAML gives the same answer (`--minimize`). */
  readonly minimized?: Minimization;
  /** The ticket's objects as the API server got them: namespaces, names and keys are ours. */
  readonly applied: readonly AppliedObject[];
  /** YAML of the workload that stands in for the ticket's. */
  readonly standIn: string;
}

export interface Minimization {
  /** Whether what is left gave the same answer when it was asked by itself; the ticket stays as it is otherwise. */
  readonly confirmed: boolean;
  /** False where the tries ran out: something left may be needless. */
  readonly complete: boolean;
  readonly tries: number;
  /** Tries that could not be run, mostly as the API server refuses what would be left. */
  readonly refused: number;
  /** `AuthorizationPolicy shop/a rules[1]`, in the order in which they went. */
  readonly dropped: readonly string[];
  /** What is left, without keys. */
  readonly yaml: string;
}
