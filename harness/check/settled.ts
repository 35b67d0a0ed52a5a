/** istiod answers before it has read everything: waits until a proxy's config has all policies that hold there, and no others. */

import { setTimeout as delay } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { ROOT_NAMESPACE } from "../model/cluster.ts";
import type { ManifestObject } from "../model/manifest.ts";
import type { Proxy } from "../run/places.ts";
import { isAttached } from "../verdict/attachment.ts";
import { isInForce, readProxyConfig, unexplained } from "../verdict/proxy-config.ts";

const LIMIT_MS = 4_000;
const POLL_MS = 20;
/** So many looks in vain, and istiod is made to compute its config anew. */
const PATIENCE = 10;
const POLICIES: ReadonlySet<string> = new Set(["AuthorizationPolicy", "RequestAuthentication"]);

/**
 * @param objects what istiod reads
 * @returns undefined where the config does not get there in time
 */
export async function settled(
  read: () => Promise<unknown>,
  push: () => void,
  proxy: Proxy,
  objects: readonly ManifestObject[],
): Promise<unknown> {
  const policies = objects.filter((one) => POLICIES.has(one.kind) && isAttached(one, proxy, ROOT_NAMESPACE));
  const until = performance.now() + LIMIT_MS;
  let before: unknown;
  for (let looks = 1; performance.now() < until; looks++, await delay(POLL_MS)) {
    if (looks % PATIENCE === 0) push();
    const dump = await read();
    const config = readProxyConfig({ configs: listenersOf(dump) });
    const beside = unexplained(policies, config);
    const isThere =
      config.listeners.length > 0 &&
      beside.rules.length + beside.providers.length === 0 &&
      policies.every((policy) => isInForce(policy, config) !== false);
    // A gateway's routes come from other objects than its policies: the same config twice.
    if (isThere && (proxy.kind !== "gateway" || isDeepStrictEqual(partsOf(before), partsOf(dump)))) return dump;
    before = dump;
  }
  return undefined;
}

/** In the form of Envoy's `config_dump?resource=dynamic_listeners`. */
function listenersOf(dump: unknown): unknown[] {
  const { configs = [] } = dump as {
    readonly configs?: readonly { readonly dynamic_listeners?: readonly unknown[] }[];
  };
  return configs.flatMap(({ dynamic_listeners = [] }) => dynamic_listeners);
}

/** Without versions, which change with each push. */
function partsOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(partsOf);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).flatMap(([name, inner]) => (name === "version_info" ? [] : [[name, partsOf(inner)]])),
  );
}
