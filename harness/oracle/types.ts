/** What is asked of a proxy's config, and what it says. `meshproof explain --json` prints an {@link Explanation}. */

/** A request as the proxy would see it. What is left out is not known: a rule that needs it makes the answer undecided. */
export interface OracleRequest {
  readonly method: string;
  /** Path and query as sent. */
  readonly path: string;
  /** `:authority`, that is the Host header. */
  readonly authority?: string;
  /** In order; names in any case. Tokens are in here, where the request carries them. */
  readonly headers: readonly (readonly [name: string, value: string])[];
  /** The client's identity, `spiffe://…` or without that prefix, where it comes by mTLS; without it the connection is plain text. */
  readonly peer?: string;
  /** The address of the connection. */
  readonly sourceIp?: string;
  readonly destinationIp?: string;
  /** The server name of the TLS handshake. */
  readonly serverName?: string;
  /** The port of the workload, or of the gateway's listener. */
  readonly port?: number;
  /** Instead of a token in Authorization: its claims, with a signature that is taken for good. */
  readonly claims?: Readonly<Record<string, unknown>>;
}

/** A key of a JWKS, without its material. */
export interface KeyFact {
  readonly kid?: string;
  readonly kty: string;
  readonly alg?: string;
}

/** One provider of Envoy's jwt_authn filter: istiod makes it of one jwtRule. */
export interface ProviderFact {
  readonly name: string;
  /** `any issuer` where the jwtRule names none. */
  readonly issuer: string;
  readonly audiences: readonly string[];
  /** `header authorization after "Bearer "`, `parameter access_token`, `cookie session`. */
  readonly places: readonly string[];
  /** `placeholder`: istiod could not fetch the keys and gave one that no token was signed with. */
  readonly keys: "inline" | "remote" | "placeholder";
  readonly uri?: string;
  readonly keyList: readonly KeyFact[];
  /** Whether the token stays in the request. */
  readonly forward: boolean;
  readonly payloadHeader?: string;
  readonly result: "accepted" | "no token" | "other issuer" | "refused" | "unknown" | "not asked";
  /** What the provider found in the request, one sentence without a full stop. */
  readonly found: string;
  /** Whether a token of the request passed; undefined where it cannot be told. */
  readonly accepted?: boolean;
}

/** One field of a rule, compared with the request. */
export interface FieldFact {
  /** `path`, `method`, `claim groups`, `header x-id`, `peer` … */
  readonly field: string;
  readonly wanted: string;
  readonly got: string;
  readonly agrees: boolean;
}

/** One rule of an AuthorizationPolicy, in the order in which Envoy asks. */
export interface RuleFact {
  /** `ns[foo]-policy[name]-rule[0]` */
  readonly name: string;
  readonly action: "ALLOW" | "DENY" | "LOG" | "CUSTOM";
  /** Evaluated and told in the access log, never enforced (`istio.io/dry-run`). */
  readonly dryRun: boolean;
  readonly matched: boolean | "undecided";
  /** The fields that decided whether it matched. */
  readonly fields: readonly FieldFact[];
}

/** What the proxy does with the request. `undecided` names what is missing or not known; nothing is guessed. */
export interface Decision {
  /** `refused` and `answered`: by the proxy itself, with an error or, by a route, with a redirect or a fixed answer. */
  readonly verdict: "admitted" | "denied" | "refused" | "answered" | "undecided";
  /** 200 stands for "goes through to the workload". 0: no HTTP answer. */
  readonly status?: number;
  readonly by: "authentication" | "authorization" | "proxy" | "nobody";
  /** Envoy's response code details. */
  readonly details?: string;
  /** The rule that decided. */
  readonly rule?: string;
  /** One sentence. */
  readonly why: string;
}

/** What the proxy's routes do with a request that its policies let through. */
export type RouteFact =
  | { readonly kind: "cluster"; readonly config: string; readonly cluster: string }
  /** A redirect or a direct response. */
  | { readonly kind: "answer"; readonly config: string; readonly status: number }
  /** No route takes it: 404. */
  | { readonly kind: "none"; readonly config: string }
  | { readonly kind: "unknown"; readonly why: string };

export interface Explanation {
  readonly decision: Decision;
  /** Where policies let the request through. */
  readonly route?: RouteFact;
  /** Whether filters are asked at all: not where the proxy refuses the path or the connection before, nor where that is not known. */
  readonly filtersAsked: boolean;
  /** Whether tokens are looked at: not without a RequestAuthentication for this workload, and not where its rules leave the request out. */
  readonly tokensAsked: boolean;
  /** Where in the config the request was judged: `virtualInbound, chain 0.0.0.0_8080 (mTLS)`. */
  readonly listener: string;
  /** The path that the rules were compared with. */
  readonly path: string;
  readonly providers: readonly ProviderFact[];
  readonly rules: readonly RuleFact[];
}
