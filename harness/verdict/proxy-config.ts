/**
 * Reads JWT rules and authorization policies from a proxy's own config. The input is Envoy's admin `config_dump` with
 * `resource=dynamic_listeners`. Only `active_state` counts as enforced, because a deleted listener stays as `draining_state`
 * for a while and a new one starts as `warming_state`.
 */

import { createHash } from "node:crypto";
import { isDeepStrictEqual } from "node:util";
import { GATEWAY_API_GROUP } from "../model/target.ts";
import { GATEWAY_NAME } from "./attachment.ts";

/** One provider of Envoy's jwt_authn filter, which istiod makes from one jwtRule of a RequestAuthentication. */
export interface JwtProvider {
  /** Undefined if the rule names none. */
  readonly issuer?: string;
  /** `inline`: the keys are from istiod or the policy; `remote`: the proxy fetches them from `uri`. */
  readonly keys: "inline" | "remote" | "placeholder";
  readonly uri?: string;
  /** The inline JWKS as text. */
  readonly jwks?: string;
  /** Other fields that istiod copies from the rule, in the rule's own format; empty fields are left out. */
  readonly rule: Readonly<Record<string, unknown>>;
}

/** One listener that the control plane sent to the proxy. */
export interface ListenerState {
  readonly name: string;
  /** The nonces of meshproof's markers ({@link markerOf}) that are in every part of the active state that has markers. */
  readonly marks: readonly string[];
  /** Whether a newer state is warming: it waits for keys or certificates. */
  readonly warming: boolean;
  /** Set if Envoy rejected the last state: the reason, and the nonces of the markers in it. */
  readonly rejected?: { readonly details: string; readonly marks: readonly string[] };
}

export interface ProxyConfig {
  readonly jwt: readonly JwtProvider[];
  /** Names of Istio's RBAC rules: `ns[foo]-policy[name]-rule[0]`. Dry-run rules too, the marker's not. */
  readonly rules: readonly string[];
  readonly listeners: readonly ListenerState[];
}

/**
 * The modulus of the key that istiod configures if it could not fetch a jwksUri, so that every token is rejected
 * (istio pilot/pkg/model/jwks_resolver.go, PublicOnlyJwks: its private key does not exist any more).
 */
export const PLACEHOLDER_MODULUS = "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet";

/** The name of the marker's AuthorizationPolicy and of its principal, which contains the nonce and which no client has. */
const MARKER = "meshproof-marker";
export const MARKER_RULE = new RegExp(`-policy\\[${MARKER}(-[a-z0-9-]+)?\\]-rule\\[\\d+\\]$`);
const MARKER_PRINCIPAL = "meshproof.invalid/ns/marker/sa/";
const MARKS = /meshproof\.invalid\/ns\/marker\/sa\/([0-9a-f]{16})/g;

/**
 * The marker that shows whether a proxy is up to date: a dry-run policy with one rule for a principal that does not exist. istiod
 * pushes it with or after all objects that were applied before it, and Envoy has it as a shadow rule, which decides nothing
 * (istio.io/dry-run; pilot/pkg/security/authz/builder, `shadow_rules`).
 * @param nonce 16 hexadecimal digits, new for each use
 * @param selector the pods, or undefined for the whole namespace: markers with different selectors are separate objects
 */
export function markerOf(namespace: string, nonce: string, selector?: Readonly<Record<string, string>>) {
  const gateway = selector?.[GATEWAY_NAME];
  return {
    apiVersion: "security.istio.io/v1beta1",
    kind: "AuthorizationPolicy",
    metadata: {
      name: selector ? `${MARKER}-${gateway === undefined ? "" : "of-"}${nameOf(selector)}` : MARKER,
      namespace,
      annotations: { "istio.io/dry-run": "true" },
    },
    spec: {
      // A selector reaches no waypoint, and other gateways only by an option of istiod.
      ...(gateway !== undefined
        ? { targetRefs: [{ group: GATEWAY_API_GROUP, kind: "Gateway", name: gateway }] }
        : selector && { selector: { matchLabels: selector } }),
      action: "DENY",
      rules: [{ from: [{ source: { principals: [`${MARKER_PRINCIPAL}${nonce}`] } }] }],
    },
  };
}

function nameOf(selector: Readonly<Record<string, string>>): string {
  const [value = "", ...others] = Object.values(selector);
  if (others.length === 0 && /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/.test(value)) return value;
  return createHash("sha256").update(JSON.stringify(selector)).digest("hex").slice(0, 16);
}

/** Internal listeners that carry requests to a waypoint and judge none (istio/istio pilot/pkg/networking/core/waypoint.go). */
const TUNNELS = /^(?:(?:inner_|outer_)?connect_originate|forward_inner_connect)$/;

/** Reads a config dump. Unknown shapes give an empty result, not an error: a proxy without policies is normal. */
export function readProxyConfig(dump: unknown): ProxyConfig {
  const jwt: JwtProvider[] = [];
  const rules = new Set<string>();
  const filters = new Set<string>();
  const listeners: ListenerState[] = [];
  for (const config of list(field(dump, "configs"))) {
    const active = field(config, "active_state");
    const error = field(config, "error_state");
    let marks: readonly string[] | undefined;
    visit(field(active, "listener"), (node) => {
      const type = field(node, "@type");
      if (typeof type !== "string") return;
      if (type.endsWith(".jwt_authn.v3.JwtAuthentication")) {
        const text = JSON.stringify(node);
        if (filters.has(text)) return;
        filters.add(text);
        for (const provider of Object.values(record(field(node, "providers")))) jwt.push(readProvider(provider));
      } else if (/\.rbac\.v3\.RBAC$/.test(type)) {
        const here: string[] = [];
        for (const part of ["rules", "shadow_rules"]) {
          for (const [name, policy] of Object.entries(record(field(field(node, part), "policies")))) {
            if (!MARKER_RULE.test(name)) rules.add(name);
            else here.push(...marksIn(policy));
          }
        }
        if (here.length > 0) marks = marks?.filter((mark) => here.includes(mark)) ?? here;
      }
    });
    if ((active === undefined && error === undefined) || TUNNELS.test(String(field(config, "name")))) continue;
    listeners.push({
      name: String(field(config, "name") ?? ""),
      marks: marks ?? [],
      warming: field(config, "warming_state") !== undefined,
      ...(error !== undefined && {
        rejected: { details: String(field(error, "details") ?? ""), marks: marksIn(error) },
      }),
    });
  }
  return { jwt, rules: [...rules].sort(), listeners };
}

function marksIn(node: unknown): string[] {
  return [...new Set([...JSON.stringify(node).matchAll(MARKS)].map(([, nonce]) => nonce as string))];
}

/** The fields that istiod copies from a jwtRule: the name in Envoy, and functions that read the value there and in the rule. */
const COPIED: readonly (readonly [
  envoy: string,
  inEnvoy: (value: unknown) => unknown,
  inRule: (rule: unknown) => unknown,
])[] = [
  ["audiences", (value) => value, (rule) => field(rule, "audiences")],
  ["forward", (value) => value, (rule) => field(rule, "forwardOriginalToken")],
  ["forward_payload_header", (value) => value, (rule) => field(rule, "outputPayloadToHeader")],
  ["from_params", (value) => value, (rule) => field(rule, "fromParams")],
  ["from_cookies", (value) => value, (rule) => field(rule, "fromCookies")],
  [
    "from_headers",
    (value) => pairs(value, "name", "value_prefix"),
    (rule) => pairs(field(rule, "fromHeaders"), "name", "prefix"),
  ],
  [
    "claim_to_headers",
    (value) => pairs(value, "header_name", "claim_name"),
    (rule) => pairs(field(rule, "outputClaimToHeaders"), "header", "claim"),
  ],
];

function pairs(value: unknown, first: string, second: string): unknown[] {
  return list(value).map((item) => [field(item, first) ?? "", field(item, second) ?? ""]);
}

/** Drops empty fields: the API server and Envoy leave out defaults. */
function withoutEmpty(fields: readonly (readonly [name: string, value: unknown])[]): Record<string, unknown> {
  const isEmpty = (value: unknown): boolean =>
    value === undefined || value === false || value === "" || (Array.isArray(value) && value.length === 0);
  return Object.fromEntries(fields.filter(([, value]) => !isEmpty(value)));
}

function readProvider(provider: unknown): JwtProvider {
  const issuer = field(provider, "issuer");
  const rule = withoutEmpty(COPIED.map(([name, inEnvoy]) => [name, inEnvoy(field(provider, name))]));
  const facts = { ...(typeof issuer === "string" && issuer !== "" && { issuer }), rule };
  const remote = field(field(field(provider, "remote_jwks"), "http_uri"), "uri");
  if (typeof remote === "string") return { ...facts, keys: "remote", uri: remote };
  const jwks = String(field(field(provider, "local_jwks"), "inline_string") ?? "");
  return { ...facts, keys: jwks.includes(PLACEHOLDER_MODULUS) ? "placeholder" : "inline", jwks };
}

/** The fields of a policy that are needed to find it in a proxy. */
export interface PolicyObject {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

/** Whether an RBAC rule of a proxy comes from this policy. */
function isRuleOf(policy: PolicyObject, rule: string): boolean {
  const name = `ns[${policy.metadata?.namespace ?? ""}]-policy[${policy.metadata?.name ?? ""}]-rule[`;
  // A rule of a CUSTOM policy starts with the name of its provider (pilot/pkg/security/authz/model, extAuthz).
  return rule.startsWith(name) || (rule.startsWith("istio-ext-authz-") && rule.includes(`-${name}`));
}

/** Whether istiod made a provider from this jwtRule. All fields are compared, to distinguish an older version of the rule. */
function isProviderOf(jwtRule: unknown, provider: JwtProvider): boolean {
  const issuer = field(jwtRule, "issuer");
  if ((provider.issuer ?? "") !== (typeof issuer === "string" ? issuer : "")) return false;
  const wanted = withoutEmpty(COPIED.map(([name, , inRule]) => [name, inRule(jwtRule)]));
  if (!isDeepStrictEqual(wanted, provider.rule)) return false;
  const jwks = field(jwtRule, "jwks");
  if (typeof jwks === "string" && jwks !== "") return provider.jwks !== undefined && sameJson(provider.jwks, jwks);
  return provider.uri === undefined || provider.uri === field(jwtRule, "jwksUri");
}

/** Whether a whole policy is in a proxy's config; undefined for kinds that leave no trace there. */
export function isInForce(policy: PolicyObject, config: ProxyConfig): boolean | undefined {
  if (policy.kind === "AuthorizationPolicy") return config.rules.some((rule) => isRuleOf(policy, rule));
  if (policy.kind !== "RequestAuthentication") return undefined;
  return jwtRulesOf(policy).every((rule) => config.jwt.some((provider) => isProviderOf(rule, provider)));
}

function jwtRulesOf(policy: PolicyObject): readonly unknown[] {
  return list(field(field(policy, "spec"), "jwtRules"));
}

/** A rule's name or a provider that a proxy enforces and that none of the policies explains. */
export interface Unexplained {
  readonly rules: readonly string[];
  readonly providers: readonly JwtProvider[];
}

/** Finds the rules and providers of a proxy that do not come from these policies. */
export function unexplained(policies: readonly PolicyObject[], config: ProxyConfig): Unexplained {
  const authorization = policies.filter(({ kind }) => kind === "AuthorizationPolicy");
  const jwtRules = policies.filter(({ kind }) => kind === "RequestAuthentication").flatMap(jwtRulesOf);
  return {
    rules: config.rules.filter((rule) => !authorization.some((policy) => isRuleOf(policy, rule))),
    providers: config.jwt.filter((provider) => !jwtRules.some((rule) => isProviderOf(rule, provider))),
  };
}

/** Namespace and name of the AuthorizationPolicy that a rule comes from (`ns[foo]-policy[name]-rule[0]`). */
export function policyOfRule(rule: string): { readonly namespace: string; readonly name: string } | undefined {
  const [, namespace, name] = /(?:^|-)ns\[([^\]]*)\]-policy\[([^\]]*)\]-rule\[\d+\]$/.exec(rule) ?? [];
  return namespace === undefined || name === undefined ? undefined : { namespace, name };
}

/** Whether one of a RequestAuthentication's rules makes this provider. */
export function makesProvider(policy: PolicyObject, provider: JwtProvider): boolean {
  return jwtRulesOf(policy).some((rule) => isProviderOf(rule, provider));
}

/**
 * The issuers of a RequestAuthentication for which the proxy has istiod's placeholder key instead of fetched keys; an empty
 * string for a rule without issuer.
 */
export function placeholderIssuers(policy: PolicyObject, config: ProxyConfig): string[] {
  const issuers = jwtRulesOf(policy).map((rule) => field(rule, "issuer") ?? "");
  return config.jwt.flatMap(({ keys, issuer = "" }) =>
    keys === "placeholder" && issuers.includes(issuer) ? [issuer] : [],
  );
}

function sameJson(a: string, b: string): boolean {
  try {
    return JSON.stringify(JSON.parse(a)) === JSON.stringify(JSON.parse(b));
  } catch {
    return a === b;
  }
}

function visit(node: unknown, see: (node: object) => void): void {
  if (typeof node !== "object" || node === null) return;
  see(node);
  for (const child of Object.values(node)) visit(child, see);
}

function field(node: unknown, name: string): unknown {
  return typeof node === "object" && node !== null ? (node as Record<string, unknown>)[name] : undefined;
}

function list(node: unknown): readonly unknown[] {
  return Array.isArray(node) ? node : [];
}

function record(node: unknown): Record<string, unknown> {
  return typeof node === "object" && node !== null ? (node as Record<string, unknown>) : {};
}
