import { VersionApi } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/errors.ts";
import type { Kube } from "../../harness/kube/client.ts";
import { readyPods } from "../../harness/kube/wait.ts";
import { ISTIO_NAMESPACE } from "./install.ts";

/** istiod's monitoring port (`--monitoringAddr` of its chart), where `/version` is. */
const MONITORING_PORT = 15014;

/**
 * What the API server and istiod say they are, for example `v1.36.3` and `1.31.0`.
 * @throws ERR_CLUSTER_UNREACHABLE where no istiod is ready.
 */
export async function versionsOf(kube: Kube): Promise<{ kubernetes: string; istio: string }> {
  const [{ gitVersion }, [istiod]] = await Promise.all([
    kube.config.makeApiClient(VersionApi).getCode(),
    readyPods(kube, ISTIO_NAMESPACE, "app=istiod"),
  ]);
  const name = istiod?.metadata?.name;
  if (!name) throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", "no istiod is ready");
  const text = await kube.core.connectGetNamespacedPodProxyWithPath({
    name: `${name}:${MONITORING_PORT}`,
    namespace: ISTIO_NAMESPACE,
    path: "version",
  });
  return { kubernetes: gitVersion, istio: istioVersion(text) };
}

/** The tag of `1.31.0-<commit>-Clean`, as Istio's build information prints it. */
export function istioVersion(text: string): string {
  return text.trim().replace(/-[^-]+-(Clean|Modified)$/, "");
}
