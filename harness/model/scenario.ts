/** A loaded scenario, before substitutions, with all positions. scenario-file.ts has the format of its file. */

import type * as z from "zod";
import type { AdmissionExpected } from "./admission.ts";
import type { MeshSetting } from "./cluster.ts";
import type { demand, grpcDemand, NO_ANSWERS } from "./expectation.ts";
import type { ManifestFile } from "./manifest.ts";
import type { ScenarioFile } from "./scenario-file.ts";
import type { Immutable } from "./schema.ts";
import type { TokenSpec, TokenVariant } from "./token.ts";

/** A place in a file, counted from 1. `file` is relative to the project's root if it is below it. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

type Metadata = Immutable<ScenarioFile["metadata"]>;

export type Level = Metadata["level"];

/** Whether what a scenario promises was ever seen on a mesh: only such scenarios are in counts of verified checks. */
export function isVerified({ level }: { readonly level: Level }): boolean {
  return level !== "provisional";
}

/** A feature that a cluster must have for a scenario to run there. */
export type Feature = NonNullable<Metadata["features"]>[number];

/** The answer that a check expects. The loader fills in `by`: 401 authentication, 403 authorization, else workload. */
export type Expectation = Omit<Immutable<z.infer<typeof demand>>, "status" | "by"> & {
  /** An HTTP status, or 0. With 0 and `by: nobody`, the client must get no answer. With 0 and `by: workload`, every status is right. */
  readonly status: number;
  readonly noAnswer?: NoAnswer;
  /** The gRPC status; the HTTP status is 200 then. */
  readonly grpc?: z.infer<typeof grpcDemand>["grpc"];
  readonly by: Answerer;
};

/** What the client sees instead of an answer. */
export type NoAnswer = (typeof NO_ANSWERS)[number];

/** Who must have answered. `workload`: the request was admitted and reached it. `nobody`: there must be no answer. */
export type Answerer = NonNullable<z.infer<typeof demand>["by"]> | "nobody";

/** Whether the mesh must keep a request from its workload: that proves something only where the workload admits another. */
export function isRefusal(by: Answerer): boolean {
  return by === "authentication" || by === "authorization" || by === "nobody";
}

/** Whether any status of the workload will do. */
export function isAnyAnswer({ status, by }: Pick<Expectation, "status" | "by">): boolean {
  return status === 0 && by === "workload";
}

/** The request as the workload received it, from httpbin's echo (`/headers`, `/anything`). */
export type Received = NonNullable<Expectation["received"]>;

/** curl's HTTP version; the second is the default, the last is HTTP/2 with prior knowledge. */
export type Protocol = NonNullable<NonNullable<ScenarioFile["spec"]["requests"]>[string]["protocol"]>;

/** How a client speaks TLS itself; `serverName` is the name that it sends (SNI), by default that of the host. */
export interface ClientTls {
  readonly serverName?: string;
}

/** A request, without its token. */
export interface RequestSpec {
  /** The client: `sleep` (pod with sidecar in `${ns}`), `neighbour` (one in `${outside.ns}`) or `outside` (pod without sidecar there). */
  readonly from: string;
  /** A workload's service name, `ingress`, or `gateway/<name>` (harness/model/target.ts). */
  readonly to: string;
  /** The waypoint that it must pass, `waypoint/<name>`. */
  readonly through?: string;
  readonly method: string;
  /** Raw path and query, sent as written. */
  readonly path: string;
  /** The request target (RFC 9112 section 3.2) that is sent in the place of path and query. */
  readonly requestTarget?: string;
  /** More headers, in order; repeated names are sent repeatedly. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly protocol?: Protocol;
  /** The name that the client connects to, in the place of the target's own. */
  readonly host?: string;
  /** The client speaks TLS. */
  readonly tls?: ClientTls;
}

/** One request with one expectation. A matrix has been expanded to these. */
export interface CheckSpec {
  /** Unique in its step and stable: `<row> <column>` of a matrix, or the check's own name. */
  readonly name: string;
  readonly position: Position;
  readonly request: RequestSpec;
  /** Name of a token of the scenario, several joined by `+`, or `none`. */
  readonly token: string;
  /** Changes the token for this check alone (matrices with `vary: tokens`). */
  readonly variant?: TokenVariant;
  readonly expect: Expectation;
  /** Its cell in a matrix of its step, if it comes from one. */
  readonly cell?: { readonly matrix: number; readonly row: number; readonly column: number };
}

/** The layout of a matrix, so that a report can draw it again. */
export interface MatrixSpec {
  readonly title: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
}

/** Who must have fetched keys from a JWKS server (by its access log) since the step began. */
export interface AskedSpec {
  readonly position: Position;
  /** `outside-host` or `nginx-proxy`. */
  readonly server: string;
  readonly by: "istiod" | "proxy" | "nobody";
}

/** What the API server must say of an object. */
export interface AdmissionSpec {
  readonly position: Position;
  /** `RequestAuthentication both-keys` */
  readonly name: string;
  readonly manifest: ManifestFile;
  /** Which object of the manifest, from 0. */
  readonly at: number;
  readonly expected: AdmissionExpected;
}

export interface StepSpec {
  readonly name: string;
  readonly position: Position;
  readonly apply: readonly ManifestFile[];
  readonly delete: readonly ManifestFile[];
  /**
   * Set if the step's policies do not become active at each judging proxy that they select. `nowhere`: a policy selects none of them;
   * `rejected`: they reject the config.
   */
  readonly inForce?: "nowhere" | "rejected";
  /** An issuer whose keys the judging proxies must have. */
  readonly keysOf?: string;
  /** Seconds after the scenario's tokens were made: its requests are sent not before `at`, and its answers are final before `until`. */
  readonly at?: number;
  readonly until?: number;
  readonly checks: readonly CheckSpec[];
  readonly matrices: readonly MatrixSpec[];
  readonly asked: readonly AskedSpec[];
  readonly admission?: readonly AdmissionSpec[];
}

/** Whether a scenario's tokens are made once, and the times of its steps count from then. */
export function isTimed({ steps }: Pick<Scenario, "steps">): boolean {
  return steps.some(({ at, until }) => at !== undefined || until !== undefined);
}

/** How many seconds a scenario's steps wait, by their `at`. */
export function waitOf({ steps }: Pick<Scenario, "steps">): number {
  return Math.max(0, ...steps.map(({ at = 0 }) => at));
}

export interface Scenario {
  /** `<group>/<name>`; it never changes. */
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly level: Level;
  readonly features: readonly Feature[];
  readonly tags: readonly string[];
  /** The Istio versions that it applies to, a range such as `>=1.29`; undefined for all versions. */
  readonly istio?: string;
  /** A known failure is excused until its date (YYYY-MM-DD, UTC), and counts as failed afterwards. */
  readonly knownFailure?: Metadata["knownFailure"];
  readonly position: Position;
  readonly workloads: readonly string[];
  readonly mesh: MeshSetting;
  readonly tokens: Readonly<Record<string, TokenSpec>>;
  readonly steps: readonly StepSpec[];
}
