import { VersionApi, type V1Pod } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import type { Kube } from "./client.ts";
import { readyPods } from "./wait.ts";
import { execIn } from "./exec.ts";
import { GATEWAY, waitForGateway } from "./install.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

/** istiod's monitoring port (`--monitoringAddr` of its chart), which serves `/version`. */
const MONITORING_PORT = 15014;

/**
 * The versions of the API server and istiod, for example `v1.36.3` and `1.31.0`.
 * @throws ERR_CLUSTER_UNREACHABLE if no istiod is ready.
 */
export async function versionsOf(kube: Kube): Promise<{ kubernetes: string; istio: string }> {
  const [{ gitVersion }, [istiod]] = await Promise.all([
    kube.config.makeApiClient(VersionApi).getCode(),
    readyPods(kube, ROOT_NAMESPACE, ISTIOD),
  ]);
  if (!istiod) throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", "no istiod is ready");
  return { kubernetes: gitVersion, istio: await askIstiod(kube, istiod) };
}

async function askIstiod(kube: Kube, { metadata }: V1Pod): Promise<string> {
  const text = await kube.core.connectGetNamespacedPodProxyWithPath({
    name: `${metadata?.name}:${MONITORING_PORT}`,
    namespace: metadata?.namespace ?? ROOT_NAMESPACE,
    path: "version",
  });
  return istioVersion(text);
}

/** Limit for each way to ask an istiod: a firewall may drop packets from the API server to that port. */
const ASK_LIMIT_MS = 5000;

/**
 * The versions of the ready istiods of an existing mesh, one or several: through the API server's proxy, or else by running
 * `pilot-discovery version` in the pod. Undefined if this is not permitted, or one does not respond.
 * @param labelSelector of istiod's pods
 */
export async function istiodVersions(
  kube: Kube,
  namespace: string,
  labelSelector: string,
): Promise<string | undefined> {
  const ask = async (pod: V1Pod): Promise<string> => {
    const byProxy = (): Promise<string> => askIstiod(kube, pod);
    const byProgram = async (): Promise<string> => {
      const where = { namespace, pod: pod.metadata?.name ?? "", container: "discovery" };
      const { stdout, exitCode } = await execIn(kube, where, ["pilot-discovery", "version"]);
      const said = istioVersion(stdout.toString("utf8"));
      if (exitCode !== 0 || said === "") throw new Error("it does not print its version");
      return said;
    };
    return within(byProxy).catch(() => within(byProgram));
  };
  try {
    const pods = await readyPods(kube, namespace, labelSelector);
    const said = await Promise.all(pods.map(ask));
    return said.length === 0 ? undefined : [...new Set(said)].sort().join(", ");
  } catch {
    return undefined;
  }
}

async function within<T>(ask: () => Promise<T>): Promise<T> {
  const late = Promise.withResolvers<never>();
  const timer = setTimeout(() => late.reject(new Error("no answer in time")), ASK_LIMIT_MS);
  return Promise.race([ask(), late.promise]).finally(() => clearTimeout(timer));
}

/** The version of the ingress gateway's Envoy, for example `1.40.0`. Throws ERR_WORKLOAD_NOT_READY without a gateway. */
export async function envoyVersionOf(kube: Kube): Promise<string> {
  await waitForGateway(kube);
  const [gateway] = await readyPods(kube, ROOT_NAMESPACE, `app=${GATEWAY}`);
  const where = { namespace: ROOT_NAMESPACE, pod: gateway?.metadata?.name ?? "", container: "istio-proxy" };
  const { stdout } = await execIn(kube, where, ["envoy", "--version"]);
  return envoyVersion(stdout.toString("utf8"));
}

/** The Envoy versions of all ready pods of the ingress gateway, each once (`/server_info`). */
export async function gatewayEnvoys(kube: Kube): Promise<string[]> {
  return proxyVersions(kube, await readyPods(kube, ROOT_NAMESPACE, `app=${GATEWAY}`));
}

/** The versions of the running Envoys of these pods, each version once, for example `1.40.0`. */
export async function proxyVersions(kube: Kube, pods: readonly V1Pod[]): Promise<string[]> {
  const versions = pods.map(async ({ metadata }) => {
    const where = { namespace: metadata?.namespace ?? "", pod: metadata?.name ?? "", container: "istio-proxy" };
    const { stdout } = await execIn(kube, where, ["pilot-agent", "request", "GET", "server_info"]);
    const { version } = JSON.parse(stdout.toString("utf8")) as { version?: string };
    return serverVersion(version ?? "");
  });
  return [...new Set(await Promise.all(versions))];
}

/** `1.40.0`, of `<commit>/1.40.0/Clean/RELEASE/BoringSSL` (Envoy's admin interface, `server_info`). */
export function serverVersion(text: string): string {
  return text.split("/")[1] ?? text;
}

/** `1.40.0`, of `envoy  version: <commit>/1.40.0/Clean/RELEASE/BoringSSL`. */
export function envoyVersion(text: string): string {
  return /version: \w+\/([^/]+)\//.exec(text)?.[1] ?? text.trim();
}

/** The tag of `1.31.0-<commit>-Clean`, as Istio's build information prints it. */
export function istioVersion(text: string): string {
  return text.trim().replace(/-[^-]+-(Clean|Modified)$/, "");
}
