/** Whose policies a proxy has that a scenario did not give it. */

import type { Foreign, ObjectRef } from "../model/finding.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";
import type { Manifest } from "../mesh/client.ts";
import { makesProvider, policyOfRule, type JwtProvider, type unexplained } from "../verdict/proxy-config.ts";
import type { Proxy } from "./places.ts";

/** What asks the API server. */
interface Listing {
  readonly objects: {
    list(apiVersion: string, kind: string, namespace: string): Promise<{ readonly items: Manifest[] }>;
  };
}

/** The objects from which a proxy has what the scenario did not give it, as well as they can be found. */
export async function findForeign(
  kube: Listing,
  proxy: Proxy,
  beside: ReturnType<typeof unexplained> | undefined,
): Promise<Foreign[]> {
  const rules = (beside?.rules ?? []).map((rule): Foreign => {
    const policy = policyOfRule(rule);
    return policy
      ? { kind: "object", object: { kind: "AuthorizationPolicy", namespace: policy.namespace, name: policy.name } }
      : { kind: "rbac-rule", rule };
  });
  const providers = beside?.providers ?? [];
  if (providers.length === 0) return distinct(rules);
  const namespaces = [...new Set([proxy.namespace, ROOT_NAMESPACE])];
  const found = await Promise.all(
    namespaces.map(async (namespace) => {
      const list = await kube.objects.list("security.istio.io/v1beta1", "RequestAuthentication", namespace);
      return list.items.map((item) => ({ ...item, kind: "RequestAuthentication" }));
    }),
  ).catch(() => []);
  return distinct([...rules, ...providers.map((provider) => sourceOf(provider, found.flat()))]);
}

function sourceOf(provider: JwtProvider, candidates: readonly Manifest[]): Foreign {
  const source = candidates.find((policy) => makesProvider(policy, provider));
  if (source !== undefined) return { kind: "object", object: refOf(source) };
  return { kind: "jwt-rule", ...(provider.issuer !== undefined && { issuer: provider.issuer }) };
}

/** Several rules of one policy are one policy. */
function distinct(all: readonly Foreign[]): Foreign[] {
  return [...new Map(all.map((one) => [JSON.stringify(one), one])).values()];
}

export function refOf({ kind, metadata }: Manifest): ObjectRef {
  return { kind, namespace: metadata.namespace ?? "", name: metadata.name };
}
