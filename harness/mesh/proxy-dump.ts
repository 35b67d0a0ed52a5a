import { MeshproofError } from "../model/errors.ts";
import type { Kube } from "./client.ts";
import { execIn } from "./exec.ts";

interface ProxyPod {
  readonly namespace: string;
  readonly pod: string;
}

/**
 * Sends a GET to Envoy's admin interface through pilot-agent, which every proxy image contains.
 * @param path such as `server_info`
 * @throws MeshproofError ERR_PROBE if the response is not JSON
 */
export async function askProxy(kube: Kube, { namespace, pod }: ProxyPod, path: string): Promise<unknown> {
  const where = { namespace, pod, container: "istio-proxy" };
  const { stdout, stderr } = await execIn(kube, where, ["pilot-agent", "request", "GET", path]);
  const text = stdout.toString("utf8");
  try {
    // pilot-agent may print a warning to standard output first (a proxy without root certificates).
    return JSON.parse(text.slice(Math.max(0, text.search(/^\{/m))));
  } catch (cause) {
    const said = [text.slice(0, 100), stderr].join("\n").trim().slice(0, 300);
    throw new MeshproofError("ERR_PROBE", `the proxy of ${namespace}/${pod} does not answer ${path}: ${said}`, {
      cause,
    });
  }
}

/**
 * Reads the parts of a proxy's config that decide about requests: listeners, routes, and of its bootstrap the proxy's id, Envoy's version and
 * runtime flags; in the form of one `config_dump`, but without secrets and clusters.
 * @throws MeshproofError ERR_PROBE if the proxy returns none
 */
export async function dumpRequestConfig(kube: Kube, pod: ProxyPod): Promise<unknown> {
  const queries = [
    "resource=dynamic_listeners",
    "resource=dynamic_route_configs",
    "mask=bootstrap.layered_runtime,bootstrap.node.user_agent_build_version,bootstrap.node.id",
  ];
  const dumps = await Promise.all(queries.map(async (query) => await dumpProxy(kube, pod, query)));
  return { configs: dumps.flatMap((dump) => (dump as { readonly configs?: readonly unknown[] }).configs ?? []) };
}

/**
 * Reads a proxy's config. It may contain secrets: never print it.
 * @param query of `config_dump`, such as `resource=dynamic_listeners`
 * @throws MeshproofError ERR_PROBE if the proxy returns none
 */
export async function dumpProxy(kube: Kube, pod: ProxyPod, query: string): Promise<unknown> {
  return await askProxy(kube, pod, `config_dump?${query}`);
}
