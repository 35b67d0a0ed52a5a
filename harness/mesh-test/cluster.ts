import type { ClusterHandle } from "../../clusters/cluster.ts";

/** The cluster of a test. */
export interface Cluster extends Pick<
  ClusterHandle,
  "kind" | "name" | "kubeconfig" | "namespace" | "outsideNamespace"
> {
  /** Of Kubernetes, Istio and Envoy. */
  readonly versions: ClusterHandle["info"]["versions"];
}
