/** A scenario as loaded: substitutions not yet made, every position kept. What its file may contain: scenario-file.ts. */

import type * as z from "zod";
import type { MeshSetting } from "./cluster.ts";
import type { ManifestFile } from "./manifest.ts";
import type { demand, ScenarioFile } from "./scenario-file.ts";
import type { Immutable } from "./schema.ts";
import type { TokenSpec, TokenVariant } from "./token.ts";

/** A place in a file, counted from 1. `file` is relative to the project's root where it lies below it. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

type Metadata = Immutable<ScenarioFile["metadata"]>;

export type Level = Metadata["level"];

/** What a cluster must offer for a scenario to make sense there. */
export type Feature = NonNullable<Metadata["features"]>[number];

/** What a check demands of the answer. `by` is filled in by the loader: 401 authentication, 403 authorization, else workload. */
export type Expectation = Immutable<z.infer<typeof demand>> & { readonly by: Answerer };

/** Who must have answered. `workload`: the request was admitted and reached it. */
export type Answerer = NonNullable<z.infer<typeof demand>["by"]>;

/** What the workload got, by httpbin's own echo (`/headers`, `/anything`). */
export type Received = NonNullable<Expectation["received"]>;

/** What curl speaks; the second is the default, the last HTTP/2 with prior knowledge. */
export type Protocol = NonNullable<NonNullable<ScenarioFile["spec"]["requests"]>[string]["protocol"]>;

/** A request, without its token. */
export interface RequestSpec {
  /** The place that sends: `sleep` (pod with sidecar in `${ns}`), `neighbour` (one in `${outside.ns}`) or `outside` (pod without sidecar there). */
  readonly from: string;
  /** A workload's service name, or `ingress`. */
  readonly to: string;
  readonly method: string;
  /** Raw path and query, sent as written. */
  readonly path: string;
  /** More headers, in order; repeated names are sent repeatedly. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  readonly protocol?: Protocol;
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
  /** Where it stands in its step's matrix, if it came from one. */
  readonly cell?: { readonly matrix: number; readonly row: number; readonly column: number };
}

/** The layout of a matrix, so that a report can draw it again. */
export interface MatrixSpec {
  readonly title: string;
  readonly rows: readonly string[];
  readonly columns: readonly string[];
}

/** Who must have asked a JWKS server (by its own access log) since the step began. */
export interface AskedSpec {
  readonly position: Position;
  /** `outside-host` or `nginx-proxy`. */
  readonly server: string;
  readonly by: "istiod" | "proxy" | "nobody";
}

export interface StepSpec {
  readonly name: string;
  readonly position: Position;
  readonly apply: readonly ManifestFile[];
  readonly delete: readonly ManifestFile[];
  /**
   * Where what the step applies gets into force, if not at each judging proxy that it chooses: `nowhere`, a policy chooses none of them;
   * `rejected`, they refuse the whole config.
   */
  readonly inForce?: "nowhere" | "rejected";
  readonly checks: readonly CheckSpec[];
  readonly matrices: readonly MatrixSpec[];
  readonly asked: readonly AskedSpec[];
}

export interface Scenario {
  /** `<group>/<name>`: an id forever. */
  readonly id: string;
  readonly title: string;
  readonly source: string;
  readonly level: Level;
  readonly features: readonly Feature[];
  readonly tags: readonly string[];
  /** The versions of Istio that it holds for, a range such as `>=1.29`; undefined where it is not known to depend. */
  readonly istio?: string;
  /** A known failure counts as such until its date (YYYY-MM-DD, UTC), and as failed afterwards. */
  readonly knownFailure?: Metadata["knownFailure"];
  readonly position: Position;
  readonly workloads: readonly string[];
  readonly mesh: MeshSetting;
  readonly tokens: Readonly<Record<string, TokenSpec>>;
  readonly steps: readonly StepSpec[];
}
