/** What a run found. Plain data: written as results.json, read by every report. Times are milliseconds unless named otherwise. */

import type { ClusterInfo, MeshSetting } from "./cluster.ts";
import type { Explanation } from "./explanation.ts";
import type { CheckFinding, ObjectFinding, RunNote, ScenarioFinding, StepFinding } from "./finding.ts";
import type { Answerer, Expectation, Level, MatrixSpec, Position } from "./scenario.ts";

export type Status = "passed" | "failed" | "flaky" | "error" | "skipped" | "known-failure";

/** One answer as seen by the probe. Hostile text: escape before showing. */
export interface Answer {
  /** HTTP status; 0 where no answer came. */
  readonly status: number;
  /** Who answered, as far as body, headers and details tell. */
  readonly by: Answerer | "nobody";
  /** The first bytes of the body (at most 2 KiB), as text. */
  readonly body: string;
  /** Headers that explain the answer (`server`, `www-authenticate`, `x-envoy-…`), lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  /** Envoy's response code details from the access log, where seen: `jwt_authn_access_denied{…}`, `rbac_access_denied_matched_policy[…]`. */
  readonly details?: string;
  /** curl's error text where no answer came. */
  readonly error?: string;
  /** What the request called itself: finds it in any access log. */
  readonly userAgent?: string;
  readonly totalMs: number;
}

export interface CheckResult {
  readonly name: string;
  readonly position: Position;
  readonly request: {
    readonly from: string;
    readonly to: string;
    readonly method: string;
    readonly url: string;
    /** Its tokens, by the names that the scenario gives them, each in words; never the token. */
    readonly tokens: readonly { readonly name: string; readonly words: string }[];
  };
  readonly expected: Expectation;
  readonly got: Answer;
  readonly status: Status;
  /** Why it has this status. Always there unless passed. */
  readonly findings?: readonly CheckFinding[];
  /** The findings in words, for people. */
  readonly reason?: string;
  /** Of a check that did not pass: what the judging proxy's own config says about the request. */
  readonly explanation?: Explanation;
  /** From the end of `apply` until the first of the final agreeing answers. */
  readonly enforcedMs: number;
  /** Every answer that differed from its predecessor, after the flush round. */
  readonly changes: readonly {
    readonly round: number;
    readonly atMs: number;
    readonly status: number;
    readonly by: string;
  }[];
  /** Of a check that failed or flaked: every answer that counted and was wrong, each kind once. */
  readonly wrong?: readonly { readonly status: number; readonly by: Answer["by"] }[];
  /** The answer of the flush round where it differed from the final one (pooled connections on the old policy). */
  readonly stale?: { readonly status: number; readonly by: string };
  /** Stand-alone equivalent; the token stands as `$TOKEN`. */
  readonly curl: string;
  readonly cell?: { readonly matrix: number; readonly row: number; readonly column: number };
}

export interface AskedResult {
  readonly position: Position;
  readonly server: string;
  readonly expected: "istiod" | "proxy" | "nobody";
  readonly got: readonly string[];
  readonly status: Status;
  readonly findings?: readonly CheckFinding[];
  /** The findings in words, for people. */
  readonly reason?: string;
}

/** What was applied or deleted in a step, as sent: substitutions made. */
export interface AppliedObject {
  readonly verb: "apply" | "delete";
  readonly kind: string;
  readonly name: string;
  readonly namespace: string;
  readonly file: string;
  readonly yaml: string;
  /** When each involved proxy's own config dump showed it, from the end of `apply`. Undefined: never seen within the limit. */
  readonly inForceMs?: number;
  /** The proxies that have it (`foo/httpbin-…`); empty where no proxy does. */
  readonly proxies: readonly string[];
  /** What is strange about it. */
  readonly findings?: readonly ObjectFinding[];
}

export interface StepResult {
  readonly name: string;
  readonly position: Position;
  readonly status: Status;
  /** Why it could not be judged; such a step is in error and has no checks. */
  readonly findings?: readonly StepFinding[];
  /** The findings in words, for people. */
  readonly reason?: string;
  readonly objects: readonly AppliedObject[];
  readonly checks: readonly CheckResult[];
  readonly asked: readonly AskedResult[];
  readonly matrices: readonly MatrixSpec[];
  readonly rounds: number;
  readonly timing: {
    readonly applyMs: number;
    readonly inForceMs: number;
    readonly probeMs: number;
    readonly totalMs: number;
  };
}

/** An object of a scenario's manifests that the API server does not take. */
export interface Refusal {
  readonly position: Position;
  /** `RequestAuthentication foo/broken` */
  readonly object: string;
  /** The API server's own words. Hostile text. */
  readonly message: string;
}

/** What happened to a pod while a scenario ran, so that its answers prove nothing. */
export interface Disturbance {
  /** A container died; a pod went, or came beside others of its Deployment, and not by the scenario's own doing. */
  readonly kind: "died" | "gone" | "came";
  readonly namespace: string;
  readonly pod: string;
  /** Of a death. */
  readonly container?: string;
  /** How a container ended, as its pod's status says (`lastState.terminated`); left out where that is not known. */
  readonly last?: {
    readonly reason?: string;
    readonly exitCode?: number;
    readonly signal?: number;
    /** By the clock of its node, in whole seconds. */
    readonly finishedAt?: string;
  };
}

export interface ScenarioResult {
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly level: Level;
  readonly tags: readonly string[];
  readonly position: Position;
  readonly mesh: MeshSetting;
  readonly status: Status;
  /** Why it is skipped, in error, or a known failure. */
  readonly findings?: readonly ScenarioFinding[];
  /** The findings in words, for people. */
  readonly reason?: string;
  /** What the API server refused of its manifests before anything ran: such a scenario is in error and has no steps. */
  readonly refused?: readonly Refusal[];
  /** Crashes and the like while it ran: each makes it an error. */
  readonly disturbances?: readonly Disturbance[];
  /** The command that repeats it; default `meshproof run <id> --keep`. */
  readonly repeat?: string;
  readonly startedAt: string;
  readonly durationMs: number;
  readonly steps: readonly StepResult[];
  /** Folders beside results.json with what was kept of the steps that failed: `diagnostics/jwt__x/1`. */
  readonly diagnostics?: readonly string[];
}

/** Counts of checks (asked-checks included). A skipped or broken scenario counts as one. */
export type Counts = Readonly<Record<Status, number>>;

/** Which part of a selection a run was (`--shard`). */
export interface Shard {
  /** Counted from 1. */
  readonly index: number;
  readonly count: number;
  /** The same for all shards of the same scenarios. */
  readonly selection: string;
}

/** What a run's verdicts depend on beside the cluster. Runs that differ in it are not parts of one. */
export interface Inputs {
  /** Of all files below the folder of the scenarios. */
  readonly scenarios: string;
  readonly profile: string;
  /** Of the file of known failures. */
  readonly knownFailures?: string;
  /** What the runs of one pipeline have in common. */
  readonly runSet?: string;
}

/** The scenarios that a run which was interrupted did not come to, or did not finish: nothing is known of them. */
export function unfinishedOf({ interrupted, scenarios }: RunResult): ScenarioResult[] {
  return interrupted === true ? scenarios.filter(({ status, steps }) => status === "error" && steps.length === 0) : [];
}

export interface RunResult {
  readonly schemaVersion: 2;
  readonly id: string;
  readonly tool: { readonly name: "meshproof"; readonly version: string };
  readonly startedAt: string;
  readonly finishedAt: string;
  /** How to run this again, one command. */
  readonly command: string;
  readonly cluster: ClusterInfo;
  /** From the start of the command: cluster and mesh ready, workloads ready, first verdict, end. */
  readonly timing: {
    readonly meshReadyMs: number;
    readonly workloadsReadyMs: number;
    readonly firstVerdictMs: number;
    readonly totalMs: number;
  };
  readonly scenarios: readonly ScenarioResult[];
  readonly counts: Counts;
  /** It ended before its end: scenarios that did not run are in error, and say why. */
  readonly interrupted?: true;
  /** What a reader must know beside the statuses: known failures that expired, match nothing or pass now. */
  readonly notes?: readonly RunNote[];
  readonly shard?: Shard;
  /** Not in results of before there was such a thing. */
  readonly inputs?: Inputs;
}
