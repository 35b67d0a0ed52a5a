import type { V1Container, V1Pod } from "@kubernetes/client-node";

/** The container of Istio's proxy in a pod: a sidecar, a native sidecar among the init containers, or a gateway. */
export function proxyContainerOf({ spec }: Pick<V1Pod, "spec">): V1Container | undefined {
  return [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find(({ name }) => name === "istio-proxy");
}

/** Whether a pod contains Istio's proxy. */
export function hasProxyContainer(pod: Pick<V1Pod, "spec">): boolean {
  return proxyContainerOf(pod) !== undefined;
}
