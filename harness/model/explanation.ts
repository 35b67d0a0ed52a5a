/**
 * What a proxy's own config says about a request, as data. `meshproof explain --json` prints it, `results.json` holds it, and
 * reports/explanation.ts alone makes English of it. Hostile text: escape before showing.
 */

import type { Answer } from "./result.ts";

/** What of a request a rule looks at. */
export type Field =
  | {
      readonly kind:
        "path" | "method" | "host" | "port" | "sni" | "principal" | "source-ip" | "remote-ip" | "destination-ip";
    }
  | { readonly kind: "header"; readonly name: string }
  /** Of the verified token; the names of nested claims are joined by dots. */
  | { readonly kind: "claim"; readonly name: string };

/** What a rule requires of a field. */
export type Matcher =
  | {
      readonly kind: "exact" | "prefix" | "suffix" | "contains" | "regex" | "template" | "address-range";
      readonly value: string;
    }
  | { readonly kind: "boolean"; readonly value: boolean }
  | { readonly kind: "any-value" | "any-identity" | "present" | "absent" }
  /** A list of which one entry fits. */
  | { readonly kind: "list-with"; readonly matcher: Matcher }
  | { readonly kind: "one-of"; readonly matchers: readonly Matcher[] }
  | { readonly kind: "not"; readonly matcher: Matcher };

/** What the request has in a field. */
export type Value =
  | { readonly kind: "text"; readonly text: string }
  /** A claim. */
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
  /** As Envoy names it: `ns[foo]-policy[name]-rule[0]` */
  readonly name: string;
  /** The AuthorizationPolicy that istiod made it of, by that name. */
  readonly policy?: { readonly namespace: string; readonly name: string };
  /** Which of the policy's rules, counted from 0. */
  readonly index?: number;
}

/** A rule with the conditions that decided whether it matches: all that fail, or all that agree. */
export interface DecidingRule extends RuleRef {
  readonly conditions: readonly Condition[];
}

/** One rule of an AuthorizationPolicy, in the order in which Envoy asks. */
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

/** Where a provider looks for tokens. */
export interface TokenSource {
  readonly kind: "header" | "parameter" | "cookie";
  readonly name: string;
  /** What must precede the token; left out where nothing must. */
  readonly prefix?: string;
}

/** What a provider made of the request's tokens. */
export type TokenFound =
  | { readonly kind: "not-asked" | "accepted" | "no-token" }
  /** The claims of `--claims`, whose signature is not verified. */
  | { readonly kind: "claims-accepted" }
  | { readonly kind: "other-issuer"; readonly iss?: unknown }
  | { readonly kind: "other-audience"; readonly aud?: unknown; readonly allowed: readonly string[] }
  /** Seconds since 1970. */
  | { readonly kind: "expired"; readonly exp: number }
  | { readonly kind: "not-yet-valid"; readonly nbf: number }
  | { readonly kind: "no-such-key" | "bad-signature"; readonly kid?: unknown; readonly alg?: unknown }
  /** Anything else, in Envoy's own words. */
  | { readonly kind: "refused"; readonly status: string }
  | { readonly kind: "undecided"; readonly missing: Missing };

/** One provider of Envoy's jwt_authn filter: istiod makes it of one jwtRule. */
export interface ProviderFact {
  readonly name: string;
  /** Left out where the jwtRule names none: it takes tokens of any issuer. */
  readonly issuer?: string;
  readonly audiences: readonly string[];
  readonly places: readonly TokenSource[];
  /** `placeholder`: istiod could not fetch the keys and gave one that no token was signed with. */
  readonly keys: "inline" | "remote" | "placeholder";
  readonly uri?: string;
  readonly keyList: readonly KeyFact[];
  /** Whether the token stays in the request. */
  readonly forward: boolean;
  readonly payloadHeader?: string;
  readonly found: TokenFound;
}

/** Parts of a config that meshproof does not read: what they do is not guessed. */
export type Unsupported =
  | "address-range"
  | "cel-condition"
  | "filter"
  | "filter-state"
  | "header-matcher"
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

/** What is not known, so that nothing can be said. */
export type Missing =
  /** The request as it was described does not have it, and a rule looks at it. */
  | { readonly kind: "not-given"; readonly field: Field; readonly requires?: Matcher }
  /** Routes look at the host, which is not given. */
  | { readonly kind: "host-for-routes"; readonly routes: string }
  /** A proxy takes it away or writes it anew, whatever the client sends. */
  | { readonly kind: "rewritten" | "set-by-proxy"; readonly field: Field }
  | { readonly kind: "forwarded-for"; readonly value: string }
  /** The dump has no bootstrap with this runtime flag. */
  | { readonly kind: "runtime-flag"; readonly flag: string }
  | { readonly kind: "route-config"; readonly name: string }
  | { readonly kind: "external-authorizer"; readonly rule: RuleRef }
  | { readonly kind: "no-listener"; readonly port?: number }
  | { readonly kind: "several-listeners"; readonly names: readonly string[] }
  /** Which of the ports is meant; there may be none that serves HTTP. */
  | { readonly kind: "port"; readonly ports: readonly number[] }
  | { readonly kind: "tcp-port"; readonly port?: number }
  /** The proxy fetches the keys of the issuer by itself. */
  | { readonly kind: "remote-keys"; readonly issuer?: string }
  | { readonly kind: "which-provider"; readonly count: number; readonly issuer: string }
  | { readonly kind: "no-provider"; readonly name: string }
  /** What the engine here does not take, with its own words. */
  | { readonly kind: "regex"; readonly source: string; readonly error: string }
  | { readonly kind: "unsupported"; readonly what: Unsupported; readonly name?: string; readonly field?: Field };

/** Why the policies let a request through. */
export type Admission =
  | { readonly kind: "allowed"; readonly rule: RuleRef }
  /** No DENY rule matches, and there is no ALLOW policy. */
  | { readonly kind: "not-denied" }
  | { readonly kind: "no-policy" };

/** What decided. */
export type Reason =
  | Admission
  | { readonly kind: "path-refused" }
  | { readonly kind: "connection-closed"; readonly accepts: "mtls" | "plain-text" }
  /** `status` in Envoy's words; of the providers, those that refused a token, or all. */
  | {
      readonly kind: "token-refused";
      readonly status: string;
      readonly providers: readonly Pick<ProviderFact, "issuer" | "found" | "keys">[];
    }
  | { readonly kind: "denied"; readonly rule: DecidingRule }
  /** There are ALLOW policies, and none of their rules matches. */
  | { readonly kind: "not-allowed"; readonly rules: readonly DecidingRule[] }
  | { readonly kind: "route-answers" | "no-route"; readonly routes: string; readonly admission: Admission }
  /** With `admission` where the policies let it through and only the route is not known. */
  | { readonly kind: "undecided"; readonly missing: Missing; readonly admission?: Admission };

/** What the proxy does with the request. Where something is missing or not known it is `undecided`; nothing is guessed. */
export interface Decision {
  /** `refused` and `answered`: by the proxy itself, with an error or, by a route, with a redirect or a fixed answer. */
  readonly verdict: "admitted" | "denied" | "refused" | "answered" | "undecided";
  /** 200 stands for "goes through to the workload". 0: no HTTP answer. */
  readonly status?: number;
  readonly by: "authentication" | "authorization" | "proxy" | "nobody";
  /** Envoy's response code details. */
  readonly details?: string;
  readonly reason: Reason;
}

/** What the proxy's routes do with a request that its policies let through. */
export type RouteFact =
  | { readonly kind: "cluster"; readonly config: string; readonly clusters: readonly string[] }
  /** A redirect or a direct response. */
  | { readonly kind: "answer"; readonly config: string; readonly status: number }
  /** No route takes it: 404. */
  | { readonly kind: "none"; readonly config: string }
  | { readonly kind: "unknown"; readonly missing: Missing };

/** Where in the config the request was judged. */
export interface ListenerFact {
  readonly name: string;
  /** Of a sidecar's inbound listener. */
  readonly port?: number;
  readonly transport?: "mtls" | "plain-text";
}

export interface Explanation {
  readonly decision: Decision;
  /** Where policies let the request through. */
  readonly route?: RouteFact;
  /** Whether filters are asked at all: not where the proxy refuses the path or the connection before, nor where that is not known. */
  readonly filtersAsked: boolean;
  /** Whether tokens are looked at: not without a RequestAuthentication for this workload, and not where its rules leave the request out. */
  readonly tokensAsked: boolean;
  readonly listener?: ListenerFact;
  /** The path that the rules were compared with. */
  readonly path: string;
  readonly providers: readonly ProviderFact[];
  readonly rules: readonly RuleFact[];
}

/** Whether a decision is not the one that an answer shows. What a workload answers is its own matter, but that it answers is not. */
export function contradicts(
  { verdict, status }: Pick<Decision, "verdict" | "status">,
  got: Pick<Answer, "by" | "status">,
): boolean {
  if (verdict === "undecided") return false;
  if (verdict !== "admitted") return status !== got.status || got.by === "workload";
  // Behind the policies nothing but a failure on the way to the workload is left (502, 503, 504).
  return got.by !== "workload" && !(got.by === "proxy" && got.status > 500);
}
