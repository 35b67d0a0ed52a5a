/** Waiting for the endpoints of a proxy's clusters: istiod sends them some time after pods are ready or gone. */

import { setTimeout as delay } from "node:timers/promises";
import { inLanes } from "../lanes.ts";
import type { Kube } from "../mesh/client.ts";
import { askProxy } from "../mesh/proxy-dump.ts";
import type { Proxy } from "./places.ts";

/** How long a push may take. Then the mesh is judged as it is. */
const LIMIT_MS = 10_000;
const POLL_MS = 50;

/** The part of Envoy's `clusters?format=json` that is read. */
export interface ClusterStatus {
  readonly name: string;
  readonly host_statuses?: readonly {
    readonly address?: {
      readonly socket_address?: { readonly address?: string };
      readonly envoy_internal_address?: { readonly endpoint_id?: string };
    };
    readonly health_status?: { readonly eds_health_status?: string };
  }[];
}

/**
 * Waits until each proxy has its clusters as demanded, or the limit is over.
 * @param names a regular expression of RE2, for the clusters' names
 */
export async function untilClusters(
  kube: Kube,
  proxies: readonly Pick<Proxy, "namespace" | "pod">[],
  names: string,
  demanded: (clusters: readonly ClusterStatus[]) => boolean | Promise<boolean>,
  limitMs = LIMIT_MS,
): Promise<void> {
  const until = performance.now() + limitMs;
  const path = `clusters?format=json&filter=${encodeURIComponent(names)}`;
  await inLanes(proxies, async (proxy) => {
    while (performance.now() < until) {
      const { cluster_statuses: clusters = [] } = (await askProxy(kube, proxy, path)) as {
        readonly cluster_statuses?: readonly ClusterStatus[];
      };
      if (await demanded(clusters)) return;
      await delay(POLL_MS);
    }
  });
}
