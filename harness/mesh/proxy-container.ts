import type { V1Container, V1Pod } from "@kubernetes/client-node";

/** A pod's container of Istio's proxy: a sidecar, a native sidecar among the init containers, or a gateway's own. */
export function proxyContainerOf({ spec }: Pick<V1Pod, "spec">): V1Container | undefined {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find(({ name }) => name === "istio-proxy");
}

/** Whether Istio's proxy is in a pod. */
export function hasProxyContainer(pod: Pick<V1Pod, "spec">): boolean {
  return proxyContainerOf(pod) !== undefined;
}
