/**
 * What a proxy's own config says about JWT rules and authorization policies. Input is Envoy's admin `config_dump` limited to
 * `resource=dynamic_listeners`; only `active_state` counts, because a deleted listener stays as `draining_state` for a while.
 */

/** One provider of Envoy's jwt_authn filter, as istiod makes it from one jwtRule of a RequestAuthentication. */
export interface JwtProvider {
  readonly issuer: string;
  /** `inline`: istiod or the policy gave the keys; `remote`: the proxy fetches them from `uri`. */
  readonly keys: "inline" | "remote" | "placeholder";
  readonly uri?: string;
  /** The inline JWKS as text. */
  readonly jwks?: string;
}

export interface ProxyConfig {
  readonly jwt: readonly JwtProvider[];
  /** Names of Istio's RBAC rules: `ns[foo]-policy[name]-rule[0]`. Dry-run rules too. */
  readonly rules: readonly string[];
  /** Changes when JWT rules or RBAC rules change in any way. */
  readonly fingerprint: string;
}

/**
 * The modulus of the key that istiod puts in place when it could not fetch a jwksUri, so that every token is rejected
 * (istio pilot/pkg/model/jwks_resolver.go, PublicOnlyJwks: its private key was thrown away).
 */
export const PLACEHOLDER_MODULUS = "0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet";

/** Reads a config dump. Unknown shapes give an empty result, never an error: a proxy without policies is normal. */
export function readProxyConfig(dump: unknown): ProxyConfig {
  const jwt: JwtProvider[] = [];
  const rules = new Set<string>();
  const filters = new Set<string>();
  for (const config of list(field(dump, "configs"))) {
    visit(field(field(config, "active_state"), "listener"), (node) => {
      const type = field(node, "@type");
      if (typeof type !== "string") return;
      if (type.endsWith(".jwt_authn.v3.JwtAuthentication")) {
        const text = JSON.stringify(node);
        if (filters.has(text)) return;
        filters.add(text);
        for (const provider of Object.values(record(field(node, "providers")))) jwt.push(readProvider(provider));
      } else if (/\.rbac\.v3\.RBAC$/.test(type)) {
        filters.add(JSON.stringify(node));
        for (const part of ["rules", "shadow_rules"]) {
          for (const name of Object.keys(record(field(field(node, part), "policies")))) rules.add(name);
        }
      }
    });
  }
  return { jwt, rules: [...rules].sort(), fingerprint: [...filters].sort().join("\n") };
}

function readProvider(provider: unknown): JwtProvider {
  const issuer = String(field(provider, "issuer") ?? "");
  const remote = field(field(field(provider, "remote_jwks"), "http_uri"), "uri");
  if (typeof remote === "string") return { issuer, keys: "remote", uri: remote };
  const jwks = String(field(field(provider, "local_jwks"), "inline_string") ?? "");
  return { issuer, keys: jwks.includes(PLACEHOLDER_MODULUS) ? "placeholder" : "inline", jwks };
}

/** What matters of a policy for finding it in a proxy. */
export interface PolicyObject {
  readonly kind?: string;
  readonly metadata?: { readonly name?: string; readonly namespace?: string };
  readonly [field: string]: unknown;
}

/**
 * Whether a policy is in a proxy's config; undefined for kinds that leave no trace of their own there.
 * A RequestAuthentication has no name in Envoy: its issuer and key source identify it.
 */
export function isInForce(policy: PolicyObject, config: ProxyConfig): boolean | undefined {
  if (policy.kind === "AuthorizationPolicy") {
    const name = `ns[${policy.metadata?.namespace ?? ""}]-policy[${policy.metadata?.name ?? ""}]-rule[`;
    // A rule of a CUSTOM policy begins with the name of its provider (pilot/pkg/security/authz/model, extAuthz).
    return config.rules.some(
      (rule) => rule.startsWith(name) || (rule.startsWith("istio-ext-authz-") && rule.includes(`-${name}`)),
    );
  }
  if (policy.kind !== "RequestAuthentication") return undefined;
  const jwtRules = list(field(field(policy, "spec"), "jwtRules"));
  return jwtRules.every((rule) =>
    config.jwt.some((provider) => {
      if (provider.issuer !== field(rule, "issuer")) return false;
      const jwks = field(rule, "jwks");
      if (typeof jwks === "string") return provider.jwks !== undefined && sameJson(provider.jwks, jwks);
      return provider.uri === undefined || provider.uri === field(rule, "jwksUri");
    }),
  );
}

/**
 * Whether a policy's selector and namespace choose a pod (Istio: no selector means the whole namespace, and the root
 * namespace means the whole mesh). Undefined where `targetRef(s)` decide instead.
 */
export function selects(
  policy: PolicyObject,
  pod: { readonly namespace: string; readonly labels: Readonly<Record<string, string>> },
  rootNamespace: string,
): boolean | undefined {
  const spec = field(policy, "spec");
  if (field(spec, "targetRef") ?? field(spec, "targetRefs")) return undefined;
  const namespace = policy.metadata?.namespace;
  if (namespace !== rootNamespace && namespace !== pod.namespace) return false;
  const labels = record(field(field(spec, "selector"), "matchLabels"));
  return Object.entries(labels).every(([name, value]) => pod.labels[name] === value);
}

/** The issuers of a RequestAuthentication for which the proxy holds istiod's placeholder instead of fetched keys. */
export function placeholderIssuers(policy: PolicyObject, config: ProxyConfig): string[] {
  const issuers = list(field(field(policy, "spec"), "jwtRules")).map((rule) => field(rule, "issuer"));
  return config.jwt.filter((p) => p.keys === "placeholder" && issuers.includes(p.issuer)).map((p) => p.issuer);
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
