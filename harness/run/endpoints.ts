/** Where proxies send requests for a Service: istiod says so some time after pods are ready or gone, and until then the answer may be 503. */

import { inLanes } from "../lanes.ts";
import type { Kube } from "../mesh/client.ts";
import { readyPods } from "../mesh/wait.ts";
import type { Labels } from "../model/finding.ts";
import { untilClusters, type ClusterStatus } from "./clusters.ts";
import type { Proxy } from "./places.ts";

interface Reached {
  readonly namespace: string;
  readonly name: string;
  readonly selector: Labels;
}

/**
 * Waits until these proxies have the ready pods of each Service, and no other, where they have the Service at all.
 * @param services with a cluster IP: for others, proxies send to the address that the client has chosen
 */
export async function untilReachable(
  kube: Kube,
  proxies: readonly Pick<Proxy, "namespace" | "pod">[],
  services: readonly Reached[],
  limitMs?: number,
): Promise<void> {
  if (services.length === 0) return;
  const names = services.map(({ name, namespace }) => `${name}.${namespace}`).join("|");
  const haveReady = async (clusters: readonly ClusterStatus[]): Promise<boolean> => {
    const ready = await readReady(kube, services);
    return clusters.every((cluster) => hasReady(cluster, ready));
  };
  await untilClusters(kube, proxies, `\\|\\|(${names})\\.`, haveReady, limitMs);
}

/** `name.namespace` of a Service, to the addresses of its pods. */
async function readReady(kube: Kube, services: readonly Reached[]): Promise<ReadonlyMap<string, readonly string[]>> {
  const entries = await inLanes(services, async ({ namespace, name, selector }) => {
    const labels = Object.entries(selector).map(([key, value]) => `${key}=${value}`);
    const pods = await readyPods(kube, namespace, labels.join(","));
    return [`${name}.${namespace}`, pods.map(({ status }) => status?.podIP ?? "")] as const;
  });
  return new Map(entries);
}

function hasReady(
  { name, host_statuses: hosts = [] }: ClusterStatus,
  ready: ReadonlyMap<string, readonly string[]>,
): boolean {
  const wanted = ready.get(/\|\|([^.]+\.[^.]+)\./.exec(name)?.[1] ?? "");
  const has = hosts.map(({ address }) => address?.socket_address?.address);
  // A waypoint's pods are behind an internal listener.
  if (wanted === undefined || has.includes(undefined)) return true;
  return has.length === wanted.length && wanted.every((address) => has.includes(address));
}
