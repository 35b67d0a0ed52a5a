/** Makes Istio's objects of generated policies. */

import type { Manifest } from "../../harness/mesh/client.ts";
import type { Field, Policies, Rule, Where } from "./arbitraries.ts";
import { ROOT_NAMESPACE } from "../../harness/model/cluster.ts";
import { GATEWAY_API_GROUP } from "../../harness/model/target.ts";
import type { ProxyKind } from "../../harness/verdict/attachment.ts";
import { AMBIENT } from "./workloads.ts";

/** Whose policies they are, and what the words in them stand for. */
export interface Owner {
  readonly name: string;
  readonly namespace: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly kind: ProxyKind;
  /** What the Host is by which clients in the mesh ask. */
  readonly host: string;
  /** `$sleep` to its address. */
  readonly addresses: Readonly<Record<string, string>>;
  /** The issuers' key sets. */
  readonly jwks: Readonly<Record<string, string>>;
  /** Makes jwksUris new: istiod keeps keys of an earlier run, on a kept cluster, for 20 minutes. */
  readonly runId: string;
  /**
   * Whether keys from "nowhere" cannot be fetched, so that the proxy gets istiod's placeholder. One owner alone: istiod holds back the
   * config of each proxy whose keys it cannot fetch until its background refresh takes the URI, one after another, 7 s each (istio/istio
   * pilot/pkg/model/jwks_resolver.go, GetPublicKey and refresher).
   */
  readonly lacksKeys?: boolean;
}

/** Whose keys a server has for "nowhere" where they can be fetched: no token is signed with them. */
export const KEYS_OF_NOBODY = "corp-next";

/** A word that a value contains, replaced. */
function fill(value: string, { host, addresses, namespace }: Owner): string {
  return value
    .replace("$host", host)
    .replace("$site-sni", `site.${namespace}.svc.cluster.local`)
    .replace(/\$\w+/, (word) => addresses[word] ?? "203.0.113.1");
}

/** What attaches a policy: at a waypoint its Service, its Gateway, or all Gateways of its class. */
function attachment(where: Where, { kind, labels }: Owner): object {
  if (kind === "waypoint") {
    const targets = {
      site: { group: "", kind: "Service", name: "site" },
      namespace: { group: GATEWAY_API_GROUP, kind: "Gateway", name: AMBIENT.waypoint },
      root: { group: GATEWAY_API_GROUP, kind: "GatewayClass", name: "istio-waypoint" },
    };
    return { targetRefs: [targets[where]] };
  }
  // In the root namespace a policy without a selector would be for the whole mesh.
  return where !== "namespace" || kind === "gateway" ? { selector: { matchLabels: labels } } : {};
}

/** The objects, in the order in which they are generated. */
export function manifestsOf({ authentications, authorizations }: Policies, owner: Owner): Manifest[] {
  const place = (where: Where, kind: string, index: number): { metadata: Manifest["metadata"]; attached: object } => ({
    metadata: {
      name: `${owner.name}-${kind}-${index}`,
      namespace: where === "root" ? ROOT_NAMESPACE : owner.namespace,
    },
    attached: attachment(where, owner),
  });
  return [
    ...authentications.map(({ where, jwtRules }, index): Manifest => {
      const { metadata, attached } = place(where, "jwt", index);
      const rules = jwtRules.map(({ keys, issuer, fromHeaders, ...rest }) => ({
        ...Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined)),
        ...(issuer !== "" && { issuer }),
        ...(fromHeaders && {
          fromHeaders: fromHeaders.map(({ name, prefix }) => ({ name, ...(prefix !== "" && { prefix }) })),
        }),
        // A rule without an issuer must have a jwksUri.
        ...(keys === "nowhere" || issuer === ""
          ? { jwksUri: `http://nginx-proxy.foo.svc.cluster.local/jwks/${served(keys, owner)}/${owner.runId}` }
          : { jwks: owner.jwks[keys] }),
      }));
      const spec = { ...attached, jwtRules: rules };
      return { apiVersion: "security.istio.io/v1", kind: "RequestAuthentication", metadata, spec };
    }),
    ...authorizations.map(({ where, action, dryRun, rules }, index): Manifest => {
      const { metadata, attached } = place(where, "authz", index);
      const custom = action === "CUSTOM";
      return {
        apiVersion: "security.istio.io/v1",
        kind: "AuthorizationPolicy",
        metadata: { ...metadata, ...(dryRun && !custom && { annotations: { "istio.io/dry-run": "true" } }) },
        spec: {
          ...attached,
          action,
          ...(custom && { provider: { name: "sample-ext-authz-http" } }),
          ...(custom && { rules: rules.length > 0 ? rules.map((rule) => ruleOf(withoutIdentity(rule), owner)) : [{}] }),
          ...(!custom && rules.length > 0 && { rules: rules.map((rule) => ruleOf(rule, owner)) }),
        },
      };
    }),
  ];
}

function served(keys: string, { lacksKeys = false }: Owner): string {
  return keys === "nowhere" && !lacksKeys ? KEYS_OF_NOBODY : keys;
}

/** Istio refuses the rest beside CUSTOM. */
function withoutIdentity({ from, to, when }: Rule): Rule {
  const sources = from.map((all) => all.filter(({ field }) => /^ipBlocks|remoteIpBlocks/.test(field)));
  return {
    from: sources.filter((all) => all.length > 0),
    to,
    when: when.filter(({ key }) => /^(request\.headers|source\.ip|remote\.ip|destination|connection)/.test(key)),
  };
}

function ruleOf({ from, to, when }: Rule, owner: Owner): object {
  const values = (all: readonly string[]): string[] => all.map((one) => fill(one, owner));
  const fields = (all: readonly Field[]): object => {
    // Istio refuses an account beside a principal or a namespace.
    const other = all.some(({ field }) => /^(notP|p)rincipals$|^(notN|n)amespaces$/.test(field));
    const kept = all.filter(({ field }) => !other || !/serviceAccounts/i.test(field));
    return Object.fromEntries(kept.map((one) => [one.field, values(one.values)]));
  };
  return {
    ...(from.length > 0 && { from: from.map((all) => ({ source: fields(all) })) }),
    ...(to.length > 0 && { to: to.map((all) => ({ operation: fields(all) })) }),
    ...(when.length > 0 && {
      when: when.map(({ key, values: required, notValues: excluded }) => ({
        key,
        ...(required && { values: values(required) }),
        ...(excluded && { notValues: values(excluded) }),
      })),
    }),
  };
}
