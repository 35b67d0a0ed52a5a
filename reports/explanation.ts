/* eslint-disable max-lines -- each part is one switch over a closed union */
/** Formats explanations of requests by a proxy's config. Plain text that may be hostile: each format escapes it. */

import {
  contradicts,
  stagesOf,
  type Admission,
  type Condition,
  type Decision,
  type EnvoyFix,
  type Explanation,
  type Field,
  type Judge,
  type Matcher,
  type Missing,
  type ProviderFact,
  type Reason,
  type RouteFact,
  type RuleFact,
  type RuleRef,
  type TokenFound,
  type TokenSource,
  type Unsupported,
  type Value,
} from "../harness/model/explanation.ts";
import type { Answer } from "../harness/model/result.ts";
import { visible } from "../harness/safe/visible.ts";

/** Another version of Envoy may evaluate the same config differently. */
const OTHERWISE = "The mesh answered otherwise than meshproof reads this config: ";

/** A 401 was expected, but no RequestAuthentication verifies tokens there. */
const NO_TOKENS =
  " No RequestAuthentication is in force at this proxy for this request, so no token is looked at and nothing answers 401.";

/** The expected and the actual answer of a check; a contradiction to the explanation is printed first. */
export interface Seen {
  readonly expected?: number;
  readonly got?: Pick<Answer, "by" | "status">;
}

/** A decision, with the proxy that made it and those that let the request through before. */
export type Told = Pick<Explanation, "decision" | "at" | "beyond"> & { readonly before?: readonly Told[] };

/** The decision as one sentence, with what decided; what several proxies decided, in a sentence for each. */
export function describeDecision(told: Told): string {
  const { decision, at, before = [], beyond } = told;
  const said = describeReason(decision.reason);
  if (at === undefined || (at.kind === "sidecar" && before.length === 0))
    return `${describeVerdict(decision)}: ${said}.`;
  if (decision.verdict === "undecided") return `Undecided at ${describeJudge(at)}: ${said}.`;
  if (decision.verdict !== "admitted") return `${describeVerdict(decision)} at ${describeJudge(at)}: ${said}.`;
  const stages = stagesOf(told);
  const lead = "The request goes through to the workload";
  if (stages.every((one) => one.decision.reason.kind === "no-policy")) {
    const names = stages.flatMap((one) => one.at ?? []).map(describeJudge);
    return `${lead}: no AuthorizationPolicy is in force at ${names.join(" or ")}.${describeBeyond(beyond)}`;
  }
  const each = stages.map((one) =>
    one.at === undefined ? "" : ` At ${describeJudge(one.at)}: ${describeReason(one.decision.reason)}.`,
  );
  return `${lead}.${each.join("")}${describeBeyond(beyond)}`;
}

/** `the gateway istio-system/istio-ingressgateway`, `the sidecar of foo/httpbin` */
export function describeJudge({ kind, namespace, name }: Judge): string {
  return `the ${kind} ${kind === "sidecar" ? "of " : ""}${namespace}/${name}`;
}

function describeBeyond(beyond: Explanation["beyond"]): string {
  switch (beyond) {
    case "nothing":
      return " The workload has no sidecar.";
    case "not-known":
      return " What a sidecar of the workload decides is not known.";
    case undefined:
      return "";
  }
}

/** The first line of {@link formatExplanation}. */
export function describeHeadline(explanation: Explanation, seen: Seen = {}): string {
  const { decision, filtersAsked, tokensAsked } = explanation;
  const lead = seen.got !== undefined && contradicts(decision, seen.got) ? OTHERWISE : "";
  const more = seen.expected === 401 && filtersAsked && !tokensAsked ? NO_TOKENS : "";
  return `${lead}${describeDecision(explanation)}${more}`;
}

/** Formats an explanation: the decision first, then each provider and each rule in Envoy's order. */
export function formatExplanation(explanation: Explanation, seen: Seen = {}): string {
  const { decision, listener, path, sentPath, route, before = [] } = explanation;
  return [
    describeHeadline(explanation, seen),
    ...(decision.details === undefined ? [] : [`  Envoy's details: ${decision.details}`]),
    "",
    ...(listener === undefined ? [] : [`judged at  ${describeListener(listener)}`]),
    `path       ${path}`,
    ...(sentPath === undefined ? [] : [`sent on    ${visible(sentPath)}`]),
    ...(route === undefined ? [] : [`route      ${describeRoute(route)}`]),
    ...(explanation.filtersAsked || before.length > 0 ? ["", ...formatFilters(explanation)] : []),
  ].join("\n");
}

/** The rules of a proxy, and of those before it. */
export type Filters = Pick<Explanation, "providers" | "rules" | "at"> & { readonly before?: readonly Filters[] };

/** Formats each filter's result, proxy by proxy, in Envoy's order. */
export function formatFilters(last: Filters): string[] {
  const stages = stagesOf(last);
  return stages.flatMap(({ at, providers, rules }, index) => [
    ...(index === 0 ? [] : [""]),
    ...(at === undefined || stages.length === 1 ? [] : [`At ${describeJudge(at)}`, ""]),
    ...section("Tokens", providers.flatMap(describeProvider), "no RequestAuthentication is in force here"),
    "",
    ...section("Policies, in order", rules.flatMap(describeRuleFact), "no AuthorizationPolicy is in force here"),
  ]);
}

function section(title: string, lines: readonly string[], none: string): string[] {
  return [title, ...(lines.length === 0 ? [`  ${none}`] : lines)];
}

function describeVerdict({ verdict, by, status: http, grpcStatus }: Decision): string {
  const status = grpcStatus === undefined ? http : `grpc-status ${grpcStatus} (HTTP ${http})`;
  switch (verdict) {
    case "admitted":
      return "The request goes through to the workload";
    case "denied":
      return status === 0 ? `The connection is closed by ${by}` : `The request is denied by ${by} with ${status}`;
    case "refused":
      return status === 0 ? "The request gets no answer" : `The proxy itself answers ${status}`;
    case "answered":
      return `The proxy itself answers ${status}`;
    case "undecided":
      return "Undecided";
  }
}

/** The reason of the decision, a clause without a full stop. */
export function describeReason(reason: Reason): string {
  switch (reason.kind) {
    case "allowed":
    case "not-denied":
    case "no-policy":
      return describeAdmission(reason);
    case "path-refused":
      return "the proxy itself refuses such a path";
    case "request-refused":
      return "the proxy cannot read such a request: its method, its path, its host, its version of HTTP, a header, or the size of all headers";
    case "header-refused":
      if (reason.name === ":path")
        return "the proxy removes the token from the query and unescapes the rest of it, which then has a character that no path may have";
      return `the proxy writes a claim to the header ${reason.name}, and its value has a character that no header may have`;
    case "connection-closed":
      return `the connection is closed: the port accepts ${reason.accepts === "mtls" ? "mTLS only (PeerAuthentication STRICT)" : "plain text only"}`;
    case "tls-refused":
      return reason.because === "server-name"
        ? "the TLS handshake is refused: no listener has the server name that the client sends"
        : "the TLS handshake is refused: the listener asks for a certificate, and the client has none";
    case "token-refused": {
      const said = reason.providers.map(
        ({ issuer, found }) => `${issuer ?? "any issuer"}: ${describeFound(found, issuer)}`,
      );
      const placeholder = reason.providers.find(({ keys }) => keys === "placeholder");
      const keys = placeholder === undefined ? [] : [describePlaceholder(placeholder.issuer)];
      return [`${reason.status}: ${said[0] ?? "there is no provider"}`, ...said.slice(1), ...keys].join("; ");
    }
    case "denied":
      return `${describeRule(reason.rule)} denies it${because(reason.rule.conditions)}`;
    case "not-allowed":
      return `no rule of an ALLOW policy matches: ${reason.rules.map((rule) => `${describeRule(rule)}${because(rule.conditions)}`).join("; ")}`;
    case "route-answers":
      return `${passed(reason.admission)}, and its route in ${reason.routes} is a redirect or a fixed answer`;
    case "no-route":
      return `${passed(reason.admission)}, but no route of ${reason.routes} takes its host and path`;
    case "undecided": {
      const missing = describeMissing(reason.missing);
      return reason.admission === undefined ? missing : `${passed(reason.admission)}; ${missing}`;
    }
  }
}

function describeAdmission(admission: Admission): string {
  switch (admission.kind) {
    case "allowed":
      return `${describeRule(admission.rule)} allows it`;
    case "not-denied":
      return "no DENY rule matches, and there is no ALLOW policy";
    case "no-policy":
      return "no AuthorizationPolicy is in force here";
  }
}

function passed(admission: Admission): string {
  return `the policies let it through (${describeAdmission(admission)})`;
}

function describePlaceholder(issuer = "a rule without issuer"): string {
  return `istiod could not fetch the keys of ${issuer} and put a placeholder key there, which no token fits`;
}

/** `rule 0 of AuthorizationPolicy foo/name` */
export function describeRule({ name, policy, index }: RuleRef): string {
  return policy === undefined ? `the rule ${name}` : `rule ${index} of ${describePolicy(policy)}`;
}

/** `AuthorizationPolicy foo/name`; a policy of a ticket may have no namespace. */
export function describePolicy({ namespace, name }: NonNullable<RuleRef["policy"]>): string {
  return `AuthorizationPolicy ${namespace === "" ? "" : `${namespace}/`}${name}`;
}

function because(conditions: readonly Condition[]): string {
  return conditions.length === 0 ? "" : ` (${describeConditions(conditions)})`;
}

/** Conditions in one line; those of one field share its value. */
export function describeConditions(conditions: readonly Condition[]): string {
  const groups = Map.groupBy(conditions, ({ field, got }) => JSON.stringify([field, got]));
  return [...groups.values()]
    .map((same) => {
      const requires = same.map((one) => describeMatcher(one.requires)).join(", and ");
      return `${describeGot(same[0]!)} — rule requires: ${requires}`;
    })
    .join("; ");
}

/** `method: POST — rule requires: not "GET"` */
export function describeCondition(condition: Condition): string {
  return `${describeGot(condition)} — rule requires: ${describeMatcher(condition.requires)}`;
}

function describeGot({ field, got }: Condition): string {
  return `${describeField(field)}: ${describeValue(got)}`;
}

export function describeField(field: Field): string {
  switch (field.kind) {
    case "header":
    case "claim":
      return `${field.kind} ${field.name}`;
    case "sni":
      return "TLS server name (SNI)";
    case "principal":
      return "source principal";
    case "source-ip":
      return "source IP";
    case "remote-ip":
      return "remote IP";
    case "destination-ip":
      return "destination IP";
    default:
      return field.kind;
  }
}

export function describeValue(value: Value): string {
  switch (value.kind) {
    case "text":
      return value.text;
    case "json":
      return JSON.stringify(value.value);
    case "absent":
      return "absent";
    case "empty":
      return "empty";
    case "no-claim":
      return "not in the token";
    case "no-valid-token":
      return "no valid token";
    case "no-mtls":
      return "no mTLS";
  }
}

/** `"GET"`, `prefix "/api"`, `not "GET"`, `"a" or prefix "b"`. */
export function describeMatcher(matcher: Matcher): string {
  switch (matcher.kind) {
    case "exact":
      return JSON.stringify(matcher.value);
    case "prefix":
    case "suffix":
    case "regex":
    case "template":
      return `${matcher.kind} ${quote(matcher.value)}`;
    case "contains":
      return `contains ${quote(matcher.value)}`;
    case "address-range":
      return matcher.value;
    case "boolean":
      return String(matcher.value);
    case "any-value":
      return "any value";
    case "any-identity":
      return "any identity";
    case "present":
      return "present";
    case "absent":
      return "absent";
    case "list-with":
      return `a list with ${describeMatcher(matcher.matcher)}`;
    case "one-of":
      return matcher.matchers.map(describeMatcher).join(" or ");
    case "not":
      return matcher.matcher.kind === "one-of"
        ? `none of ${matcher.matcher.matchers.map(describeMatcher).join(", ")}`
        : `not ${describeMatcher(matcher.matcher)}`;
  }
}

/** Quotes text; backslashes of a regular expression are not doubled. */
function quote(text: string): string {
  return `"${text}"`;
}

function describeListener({ name, port, transport, tcp }: NonNullable<Explanation["listener"]>): string {
  const kind = tcp === true ? ", as TCP: rules about HTTP do not count" : "";
  if (transport === undefined) return `listener ${name}${kind}`;
  return `${name}, port ${port} (${transport === "mtls" ? "mTLS" : "plain text"})${kind}`;
}

function describeRoute(route: RouteFact): string {
  switch (route.kind) {
    case "cluster":
      return `to ${route.clusters.join(" or ") || "a cluster that the request names"} (${route.config})${
        route.changes === undefined ? "" : `, with changes by ${route.changes.join(", ")}`
      }`;
    case "answer":
      return `answers ${route.status} (${route.config})`;
    case "none":
      return `none in ${route.config}`;
    case "unknown":
      return `undecided: ${describeMissing(route.missing)}`;
  }
}

function describeProvider({ issuer, audiences, places, keys, uri, keyList, found }: ProviderFact): string[] {
  const told = {
    inline: keyList.map(({ kid, kty, alg }) => [`kid ${kid ?? "-"}`, kty, alg].filter(Boolean).join(" ")).join(", "),
    remote: `fetched by the proxy from ${uri}`,
    placeholder: "istiod's placeholder: it could not fetch the jwksUri, and no token fits",
  }[keys];
  return [
    `  ${signOf(found)} issuer ${issuer ?? "any"}: ${describeFound(found, issuer)}`,
    `      looks in  ${places.map(describeSource).join(", ")}`,
    ...(audiences.length === 0 ? [] : [`      audiences ${audiences.join(", ")}`]),
    `      keys      ${told || "none"}`,
  ];
}

function describeSource({ kind, name, prefix }: TokenSource): string {
  return `${kind} ${name}${prefix === undefined ? "" : ` after ${quote(prefix)}`}`;
}

function signOf({ kind }: TokenFound): string {
  if (kind === "accepted" || kind === "claims-accepted") return "✓";
  return kind === "not-asked" || kind === "undecided" ? "·" : "✗";
}

/** A provider's result for the request's tokens, a clause. */
export function describeFound(found: TokenFound, issuer: string | undefined): string {
  const show = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
  const day = (seconds: number): string => new Date(seconds * 1000).toISOString();
  switch (found.kind) {
    case "not-asked":
      return "was not asked";
    case "accepted":
      return "accepts the token";
    case "claims-accepted":
      return "accepts the claims, if the signature is good";
    case "no-token":
      return "found no token where it looks";
    case "other-issuer":
      return `the token's iss is ${show(found.iss)}, not ${show(issuer)}`;
    case "other-audience":
      return `the token's aud is ${show(found.aud)}, allowed are ${show(found.allowed)}`;
    case "expired":
      return `the token's exp is ${day(found.exp)}, which has passed`;
    case "not-yet-valid":
      return `the token's nbf is ${day(found.nbf)}, which is in the future`;
    case "no-such-key":
      return `no key has the token's kid ${show(found.kid)} and alg ${show(found.alg)}`;
    case "bad-signature":
      return `the signature (kid ${show(found.kid)}, alg ${show(found.alg)}) fits none of the keys`;
    case "refused":
      return found.status;
    case "undecided":
      return describeMissing(found.missing);
  }
}

function describeRuleFact({ name, action, dryRun, matched, conditions }: RuleFact): string[] {
  const sign = matched === true ? "✓ matches" : matched === false ? "✗ does not match" : "· undecided";
  return [
    `  ${sign}  ${action}${dryRun ? " (dry run)" : ""} ${name}`,
    ...conditions.map((condition) => `      ${condition.agrees ? "✓" : "✗"} ${describeCondition(condition)}`),
  ];
}

/** The missing fact, a clause. */
export function describeMissing(missing: Missing): string {
  switch (missing.kind) {
    case "not-given": {
      const field = describeField(missing.field);
      return missing.requires === undefined
        ? `${field} is not given, and a rule compares it`
        : `${field} is not given, and a rule requires ${describeMatcher(missing.requires)}`;
    }
    case "host-for-routes":
      return `the host is not given, and the routes of ${missing.routes} look at it`;
    case "rewritten":
      return `proxies remove or rewrite the ${describeField(missing.field)}, and meshproof does not know what they make of it`;
    case "set-by-proxy":
      return `the proxy writes the ${describeField(missing.field)} itself`;
    case "forwarded-for":
      return `X-Forwarded-For has ${JSON.stringify(missing.value)} where the client's address is expected`;
    case "runtime-flag":
      return `the config dump has no bootstrap, whose runtime flag ${missing.flag} says whether a # in the path is refused or removed`;
    case "envoy-fix":
      return `Envoys with and without the fix of ${missing.fix} (${FIXES[missing.fix]}) answer differently, and ${
        missing.version === undefined
          ? "the config dump does not have Envoy's version"
          : `Envoy ${missing.version} may have it or not`
      }`;
    case "which-pod":
      return `the pods behind the gateway decide differently (${missing.pods.join(", ")}), and it is not known which of them got the request`;
    case "changed-by-gateway":
      return `the gateway changes the request before it sends it on (${missing.changes.join(", ")}), and the proxy behind it decides`;
    case "route-config":
      return `the config dump does not have the route config ${missing.name}, which says whether a route takes the request`;
    case "external-authorizer":
      return `the external authorizer of ${describeRule(missing.rule)} decides`;
    case "no-listener":
      return missing.port === undefined
        ? "the config dump has no listener with HTTP filters"
        : `no listener has port ${missing.port}`;
    case "several-listeners":
      return `several listeners or filter chains may serve the request (${missing.names.join(", ")}): name the port`;
    case "which-service":
      return `the waypoint serves several Services (${missing.services.join(", ")}): name one in the URL of the request`;
    case "no-such-service":
      return missing.services.length === 0
        ? "the waypoint serves no Service"
        : `the waypoint does not serve what was asked: its Services are ${missing.services.join(", ")}`;
    case "tls-of-the-client":
      return "the client itself speaks TLS, and the port asks for no certificate: what the connection carries then is not read";
    case "port":
      return missing.ports.length === 0
        ? "the proxy serves no HTTP port: name one"
        : `the proxy serves the ports ${missing.ports.join(", ")}: name one`;
    case "protocol":
      return "the protocol is not given, and HTTP/1 and HTTP/2 read this method or path differently";
    case "remote-keys":
      return `the proxy fetches the keys of ${missing.issuer ?? "any issuer"} itself, and they are not in its config`;
    case "which-provider":
      return `${missing.count} providers have the issuer ${missing.issuer}, and Envoy asks any of them`;
    case "no-provider":
      return `the provider ${missing.name} is not in the config`;
    case "regex":
      return `meshproof cannot read the regular expression ${JSON.stringify(missing.source)}: ${missing.error}`;
    case "unsupported":
      return `meshproof does not know ${describeUnsupported(missing)}`;
  }
}

const FIXES: Readonly<Record<EnvoyFix, string>> = {
  "CVE-2026-26308": "each value of a repeated header is compared by itself",
  "CVE-2026-73551": "a dot segment with parameters, such as ..;x, is removed",
};

const UNSUPPORTED: Readonly<Record<Unsupported, string>> = {
  "address-range": "the address range",
  "cel-condition": "how a CEL condition decides",
  filter: "what this filter does:",
  "filter-state": "this filter state:",
  "header-bytes": "how the proxy reads a header with control characters, or a host with bytes outside of ASCII",
  "header-matcher": "this kind of header matcher",
  "header-size": "whether headers of this size are too large, together with what clients and proxies add",
  "ip-detection": "which address counts for remoteIpBlocks: an extension of the proxy finds it",
  "jwt-requirement": "this requirement of jwt_authn:",
  "jwt-rule": "a jwt_authn rule that does not match by prefix",
  matcher: "this matcher:",
  metadata: "the metadata of",
  "path-bytes": "how the proxy reads a path with bytes outside of printable ASCII",
  "path-template": "this path template",
  "rbac-matcher-tree": "how an RBAC filter with a matcher tree decides",
  "request-target": "how the proxy reads a request target that does not begin with /",
  "require-tls": "this require_tls of a virtual host:",
  "route-action": "the action of a route in",
  "route-filter": "what a route's own settings do for the filter",
  "route-match": "routes that match by",
  "route-path-parameters": "how routes that ignore path parameters match",
  "route-path-match": "how a route matches this path",
  "route-query": "how a route matches query parameters",
  routes: "how this listener finds its routes",
  "string-matcher": "this string matcher:",
  "value-matcher": "this value matcher:",
  vhds: "the virtual hosts that the proxy asks for when needed, in",
  "virtual-host-matcher": "how a virtual host with a matcher tree decides",
};

function describeUnsupported({ what, name, field }: Extract<Missing, { kind: "unsupported" }>): string {
  return `${UNSUPPORTED[what]}${name === undefined ? "" : ` ${name}`}${field === undefined ? "" : ` (${describeField(field)})`}`;
}
