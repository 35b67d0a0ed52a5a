/** What istiod says of keys that it could not fetch. */

import type { Kube } from "../mesh/client.ts";
import type { ContainerRef } from "../mesh/exec.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

/** istiod's containers. */
export async function findIstiods(kube: Kube): Promise<ContainerRef[]> {
  const pods = await kube.core.listNamespacedPod({ namespace: ROOT_NAMESPACE, labelSelector: ISTIOD });
  return pods.items.map(({ metadata }) => ({
    namespace: ROOT_NAMESPACE,
    pod: metadata?.name ?? "",
    container: "discovery",
  }));
}

/** The message of a failed request for keys, in a line of text or of JSON (istio/istio pilot/pkg/model/jwks_resolver.go). */
const FAILED = /\bFailed to GET from \\?"([^"\\]+)\\?"/g;

/** The URIs that istiod could not fetch, by its log; each once. */
export function failedFetches(log: string): string[] {
  return [...new Set([...log.matchAll(FAILED)].map(([, uri = ""]) => uri))];
}
