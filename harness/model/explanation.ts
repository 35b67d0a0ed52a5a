/**
 * What a proxy does with a request according to its own config, as data. `meshproof explain --json` prints it, `results.json`
 * contains it, and only reports/explanation.ts turns it into English. Hostile text: escape before showing.
 */

import type { Answer } from "./result.ts";

/** The part of a request that a rule compares. */
export type Field =
  | {
      readonly kind:
        "path" | "method" | "host" | "port" | "sni" | "principal" | "source-ip" | "remote-ip" | "destination-ip";
    }
  | { readonly kind: "header"; readonly name: string }
  /** A claim of the verified token; the names of nested claims are joined by dots. */
  | { readonly kind: "claim"; readonly name: string };

/** What a rule requires of a field. */
export type Matcher =
  | {
      readonly kind: "exact" | "prefix" | "suffix" | "contains" | "regex" | "template" | "address-range";
      readonly value: string;
    }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "any-value" | "any-identity" | "present" | "absent" }
  /** A list with at least one matching entry. */
  | { readonly kind: "list-with"; readonly matcher: Matcher }
  | { readonly kind: "one-of"; readonly matchers: readonly Matcher[] }
  | { readonly kind: "not"; readonly matcher: Matcher };

/** The request's value of a field. */
export type Value =
  | { readonly kind: "text"; readonly text: string }
  /** The value of a claim. */
  | { readonly kind: "json"; readonly value: unknown }
  | { readonly kind: "absent" | "empty" | "no-claim" | "no-valid-token" | "no-mtls" };

/** One field of a rule, compared with the request. */
export interface Condition {
  readonly field: Field;
  readonly requires: Matcher;
  readonly got: Value;
  readonly agrees: boolean;
}

/** A rule in a proxy's config. */
export interface RuleRef {
  /** Envoy's name of the rule: `ns[foo]-policy[name]-rule[0]` */
  readonly name: string;
  /** The AuthorizationPolicy that istiod made it from, taken from that name. */
  readonly policy?: { readonly namespace: string; readonly name: string };
  /** Index of the rule in the policy, from 0. */
  readonly index?: number;
}

/** A rule with the conditions that decided whether it matches: all that fail, or else all that match. */
export interface DecidingRule extends RuleRef {
  readonly conditions: readonly Condition[];
}

/** One rule of an AuthorizationPolicy, in Envoy's order. */
export interface RuleFact extends DecidingRule {
  readonly action: "ALLOW" | "DENY" | "LOG" | "CUSTOM";
  /** Evaluated and written to the access log, never enforced (`istio.io/dry-run`). */
  readonly dryRun: boolean;
  readonly matched: boolean | "undecided";
}

/** A key of a JWKS, without its material. */
export interface KeyFact {
  readonly kid?: string;
  readonly kty: string;
  readonly alg?: string;
}

/** A place where a provider looks for tokens. */
export interface TokenSource {
  readonly kind: "header" | "parameter" | "cookie";
  readonly name: string;
  /** Prefix that must precede the token; left out if there is none. */
  readonly prefix?: string;
}

/** A provider's result for the request's tokens. */
export type TokenFound =
  | { readonly kind: "not-asked" | "accepted" | "no-token" }
  /** The claims of `--claims`, without verifying a signature. */
  | { readonly kind: "claims-accepted" }
  | { readonly kind: "other-issuer"; readonly iss?: unknown }
  | { readonly kind: "other-audience"; readonly aud?: unknown; readonly allowed: readonly string[] }
  /** Seconds since 1970. */
  | { readonly kind: "expired"; readonly exp: number }
  | { readonly kind: "not-yet-valid"; readonly nbf: number }
  | { readonly kind: "no-such-key" | "bad-signature"; readonly kid?: unknown; readonly alg?: unknown }
  /** Any other error, in Envoy's words. */
  | { readonly kind: "refused"; readonly status: string }
  | { readonly kind: "undecided"; readonly missing: Missing };

/** One provider of Envoy's jwt_authn filter: istiod makes it from one jwtRule. */
export interface ProviderFact {
  readonly name: string;
  /** Left out if the jwtRule has none: it accepts tokens of any issuer. */
  readonly issuer?: string;
  readonly audiences: readonly string[];
  readonly places: readonly TokenSource[];
  /** `placeholder`: istiod could not fetch the keys and configured a key that signed no token. */
  readonly keys: "inline" | "remote" | "placeholder";
  readonly uri?: string;
  readonly keyList: readonly KeyFact[];
  /** Whether the proxy forwards the token. */
  readonly forward: boolean;
  readonly payloadHeader?: string;
  /** Headers that the proxy writes out of claims of an accepted token; left out without any. */
  readonly claimHeaders?: readonly string[];
  readonly found: TokenFound;
}

/** Parts of a config that meshproof does not read. It does not guess their effect. */
export type Unsupported =
  | "address-range"
  | "cel-condition"
  | "filter"
  | "filter-state"
  | "header-bytes"
  | "header-matcher"
  | "header-size"
  | "ip-detection"
  | "jwt-requirement"
  | "jwt-rule"
  | "matcher"
  | "metadata"
  | "path-bytes"
  | "path-template"
  | "rbac-matcher-tree"
  | "request-target"
  | "require-tls"
  | "route-action"
  | "route-filter"
  | "route-match"
  | "route-path-parameters"
  | "route-path-match"
  | "route-query"
  | "routes"
  | "string-matcher"
  | "value-matcher"
  | "vhds"
  | "virtual-host-matcher";

/** A fix in Envoy that changes which requests rules match. */
export type EnvoyFix = "CVE-2026-26308" | "CVE-2026-73551";

/** A missing fact without which there is no decision. */
export type Missing =
  /** A rule compares this field, and the description of the request does not have it. */
  | { readonly kind: "not-given"; readonly field: Field; readonly requires?: Matcher }
  /** Routes compare the host, which is not given. */
  | { readonly kind: "host-for-routes"; readonly routes: string }
  /** A proxy removes or overwrites this field of the client's request. */
  | { readonly kind: "rewritten" | "set-by-proxy"; readonly field: Field }
  | { readonly kind: "forwarded-for"; readonly value: string }
  /** The dump has no bootstrap with this runtime flag. */
  | { readonly kind: "runtime-flag"; readonly flag: string }
  /** Envoys with and without a fix give different answers, and it is not known whether this one has it. */
  | { readonly kind: "envoy-fix"; readonly fix: EnvoyFix; readonly version?: string }
  /** Several pods behind a gateway may have got the request, and their proxies decide differently: `namespace/pod`. */
  | { readonly kind: "which-pod"; readonly pods: readonly string[] }
  /** A gateway changes the request before the proxy that decides: Envoy's fields, and names of headers. */
  | { readonly kind: "changed-by-gateway"; readonly changes: readonly string[] }
  | { readonly kind: "route-config"; readonly name: string }
  | { readonly kind: "external-authorizer"; readonly rule: RuleRef }
  | { readonly kind: "no-listener"; readonly port?: number }
  | { readonly kind: "several-listeners"; readonly names: readonly string[] }
  /** A waypoint judges by the Service that was asked: `host:port` of those that may be meant, or of all if none is. */
  | { readonly kind: "which-service" | "no-such-service"; readonly services: readonly string[] }
  /** The port is ambiguous, or no port serves HTTP. */
  | { readonly kind: "port"; readonly ports: readonly number[] }
  /** The client itself speaks TLS to a workload that asks for no certificate. */
  | { readonly kind: "tls-of-the-client" }
  /** HTTP/1 and HTTP/2 read this method or path differently. */
  | { readonly kind: "protocol" }
  /** The proxy itself fetches the keys of the issuer. */
  | { readonly kind: "remote-keys"; readonly issuer?: string }
  | { readonly kind: "which-provider"; readonly count: number; readonly issuer: string }
  | { readonly kind: "no-provider"; readonly name: string }
  /** A regular expression that the engine here cannot compile, with the engine's error. */
  | { readonly kind: "regex"; readonly source: string; readonly error: string }
  | { readonly kind: "unsupported"; readonly what: Unsupported; readonly name?: string; readonly field?: Field };

/** Why the policies let a request through. */
export type Admission =
  | { readonly kind: "allowed"; readonly rule: RuleRef }
  /** No DENY rule matches, and there is no ALLOW policy. */
  | { readonly kind: "not-denied" }
  | { readonly kind: "no-policy" };

/** The reason of a decision. */
export type Reason =
  | Admission
  | { readonly kind: "path-refused" | "request-refused" }
  /** A claim's value, which a RequestAuthentication writes to this header, cannot be sent. */
  | { readonly kind: "header-refused"; readonly name: string }
  | { readonly kind: "connection-closed"; readonly accepts: "mtls" | "plain-text" }
  /** The client speaks TLS and has no certificate, or no listener has its server name. */
  | { readonly kind: "tls-refused"; readonly because: "client-certificate" | "server-name" }
  /** `status` in Envoy's words; `providers`: those that refused a token, or all. */
  | {
      readonly kind: "token-refused";
      readonly status: string;
      readonly providers: readonly Pick<ProviderFact, "issuer" | "found" | "keys">[];
    }
  | { readonly kind: "denied"; readonly rule: DecidingRule }
  /** There are ALLOW policies, and none of their rules matches. */
  | { readonly kind: "not-allowed"; readonly rules: readonly DecidingRule[] }
  | { readonly kind: "route-answers" | "no-route"; readonly routes: string; readonly admission: Admission }
  /** With `admission` if the policies let the request through and only the route is not known. */
  | { readonly kind: "undecided"; readonly missing: Missing; readonly admission?: Admission };

/** What the proxy does with the request. It is `undecided` if a fact is missing; meshproof does not guess. */
export interface Decision {
  /** `refused`: the proxy itself answers with an error. `answered`: a route answers with a redirect or a direct response. */
  readonly verdict: "admitted" | "denied" | "refused" | "answered" | "undecided";
  /** 200 means that the request reaches the workload, or gRPC; 0, no HTTP answer. */
  readonly status?: number;
  /** Of the proxy's own answer to a gRPC request, whose HTTP status is 200. */
  readonly grpcStatus?: number;
  readonly by: "authentication" | "authorization" | "proxy" | "nobody";
  /** Envoy's response code details. */
  readonly details?: string;
  readonly reason: Reason;
}

/** What the proxy's routes do with a request that its policies let through. */
export type RouteFact =
  | {
      readonly kind: "cluster";
      readonly config: string;
      readonly clusters: readonly string[];
      /** Envoy's fields by which the proxy changes the path, the host or headers before it sends the request on; left out without any. */
      readonly changes?: readonly string[];
    }
  /** A redirect or a direct response. */
  | { readonly kind: "answer"; readonly config: string; readonly status: number }
  /** No route matches: 404. */
  | { readonly kind: "none"; readonly config: string }
  | { readonly kind: "unknown"; readonly missing: Missing };

/** The listener that judges the request. */
export interface ListenerFact {
  readonly name: string;
  /** Port of a sidecar's inbound listener. */
  readonly port?: number;
  readonly transport?: "mtls" | "plain-text";
  /** Connections are judged, not requests: rules about HTTP do not count. */
  readonly tcp?: true;
}

/** A proxy on a request's way. */
export interface Judge {
  readonly kind: "gateway" | "waypoint" | "sidecar";
  readonly namespace: string;
  /** Of the gateway, the waypoint, or the workload beside it. */
  readonly name: string;
}

export interface Explanation {
  readonly decision: Decision;
  /** The proxy whose config this is; left out where that is not known. */
  readonly at?: Judge;
  /** The proxies that let the request through before, in its order. */
  readonly before?: readonly Explanation[];
  /** What judges the request after this proxy has let it through: nothing, or a proxy of which it is not known what it decided. */
  readonly beyond?: "nothing" | "not-known";
  /** Set if policies let the request through. */
  readonly route?: RouteFact;
  /** Whether the filters run: false if the proxy refuses the path or the connection before, or if that is not known. */
  readonly filtersAsked: boolean;
  /** Whether tokens are verified: false without a RequestAuthentication for this workload, or if its rules exclude the request. */
  readonly tokensAsked: boolean;
  readonly listener?: ListenerFact;
  /** The path that the rules compare. */
  readonly path: string;
  /** The path that the proxy sends on, where it has removed a token from the query: the rest of the query is sorted and unescaped then. */
  readonly sentPath?: string;
  readonly providers: readonly ProviderFact[];
  readonly rules: readonly RuleFact[];
}

/** Each proxy that judged the request, in its order. */
export function stagesOf<One extends { readonly before?: readonly One[] }>(last: One): readonly One[] {
  return [...(last.before ?? []), last];
}

/** Whether a decision contradicts an answer. Only who answered counts for a workload's answer, not its status code. */
export function contradicts(
  { verdict, status }: Pick<Decision, "verdict" | "status">,
  got: Pick<Answer, "by" | "status">,
): boolean {
  if (verdict === "undecided") return false;
  if (verdict !== "admitted") return status !== got.status || got.by === "workload";
  // After the policies only a failure on the way to the workload can still answer (502, 503, 504).
  return got.by !== "workload" && !(got.by === "proxy" && got.status > 500);
}
