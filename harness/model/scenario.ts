/** A scenario as loaded: substitutions not yet made, every position kept. Source of the notation: docs/writing-a-scenario.md. */

import type { MeshSetting } from "../../clusters/cluster.ts";

/** A place in a file, counted from 1. `file` is relative to the project's root where it lies below it. */
export interface Position {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

export type Level = "core" | "extended" | "provisional";

/** What a cluster must offer for a scenario to make sense there. */
export type Feature = "ingress-gateway" | "mesh-setting" | "jwks-authority" | "outside-host";

/** Who must have answered. `workload`: the request was admitted and reached it. */
export type Answerer = "authentication" | "authorization" | "workload" | "proxy";

/** What a check demands of the answer. `by` is filled in by the loader: 401 authentication, 403 authorization, else workload. */
export interface Expectation {
  readonly status: number;
  readonly by: Answerer;
  /** The reply body must contain this text. */
  readonly body?: string;
  /** The reply body must be a JSON object with this top-level key. */
  readonly jsonKey?: string;
  /** The proxy's response code details (access log) must contain this text. */
  readonly details?: string;
  /** The AuthorizationPolicy whose rule must have decided, by the same details. */
  readonly policy?: string;
  /** What the workload got, by httpbin's own echo (`/headers`, `/anything`). */
  readonly received?: Received;
}

export interface Received {
  /** By header name: the exact value (several joined by a comma), null for absent, true for present, or claims that a base64url header must hold. */
  readonly headers?: Readonly<
    Record<string, string | boolean | null | { readonly claims: Readonly<Record<string, unknown>> }>
  >;
  /** Path and query as the workload saw them (`/anything` alone echoes them). */
  readonly path?: string;
}

/** How a token is made; never a pasted string. Source of the names: RFC 7519 (claims), RFC 7515 (header), RFC 7518 (alg). */
export interface TokenSpec {
  /** Name of a file in scenarios/issuers. */
  readonly issuer: string;
  /** The sample token that Istio publishes, verbatim (only for issuer istio-sample). */
  readonly published?: boolean;
  /** JOSE algorithm; default the issuer's first key's. */
  readonly alg?: string;
  /** Sign with a key that is not in the issuer's JWKS, of the same type. */
  readonly signedBy?: "stranger";
  /** Claims that replace or extend the issuer's default ones. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Seconds from now, may be negative: `exp` claim. */
  readonly expiresIn?: number;
  /** Header fields (RFC 7515 section 4.1) that replace or extend alg, kid and typ; null takes one away. */
  readonly header?: Readonly<Record<string, unknown>>;
  /** Seconds from now, may be negative: `nbf` claim. */
  readonly notBefore?: number;
  /** Seconds from now, may be negative: `iat` claim. */
  readonly issuedAt?: number;
  /** Bytes that the compact token has at least; a claim `filler` makes it so. */
  readonly size?: number;
  /** Where a request carries it; default the header `Authorization: Bearer …`. */
  readonly in?: TokenPlace | readonly TokenPlace[];
  /** Applied last. */
  readonly variant?: TokenVariant;
}

/** Where a request carries a token. `prefix` and `suffix` stand around it in a header, as written. */
export type TokenPlace =
  | { readonly header: string; readonly prefix?: string; readonly suffix?: string }
  | { readonly query: string }
  | { readonly cookie: string };

/** Ways to change a token. `intact` leaves it as it is. */
export type TokenVariant =
  | "intact"
  | "broken-signature"
  | "other-key"
  | "other-algorithm"
  | "other-issuer"
  | "expired"
  | "not-a-jwt"
  | "alg-none"
  | "alg-none-signed"
  | "alg-none-odd-case"
  | "alg-missing"
  | "alg-empty"
  | "alg-not-text"
  | "alg-unknown"
  | "alg-lower-case"
  | "hmac-with-public-pem"
  | "hmac-with-public-der"
  | "hmac-with-public-jwk"
  | "other-payload"
  | "other-header"
  | "no-signature"
  | "two-parts"
  | "four-parts"
  | "empty-header"
  | "empty-payload"
  | "swapped-parts"
  | "short-signature"
  | "long-signature"
  | "zero-signature"
  | "der-signature"
  | "padded-signature"
  | "padded-payload"
  | "header-not-base64url"
  | "payload-not-base64url"
  | "signature-not-base64url"
  | "header-not-json"
  | "payload-not-json"
  | "payload-not-object"
  | "duplicate-alg"
  | "duplicate-claim";

/** What curl speaks; the second is the default, the last HTTP/2 with prior knowledge. */
export type Protocol = "http/1.0" | "http/1.1" | "h2c";

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

/** A manifest file as a person would `kubectl apply` it. */
export interface ManifestFile {
  readonly file: string;
  readonly position: Position;
  readonly text: string;
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
  readonly knownFailure?: {
    readonly reason: string;
    readonly until: string;
    /** The only answer that it excuses. */
    readonly got?: { readonly status: number; readonly by: Answerer | "nobody" };
  };
  readonly position: Position;
  readonly workloads: readonly string[];
  readonly mesh: MeshSetting;
  readonly tokens: Readonly<Record<string, TokenSpec>>;
  readonly steps: readonly StepSpec[];
}
