import { MeshproofError } from "../model/errors.ts";
import type { Kube } from "./client.ts";
import { execIn } from "./exec.ts";

interface ProxyPod {
  readonly namespace: string;
  readonly pod: string;
}

/**
 * A GET of Envoy's admin interface through pilot-agent, which every proxy image has.
 * @param path such as `server_info`
 * @throws MeshproofError ERR_PROBE where the answer is not JSON
 */
export async function askProxy(kube: Kube, { namespace, pod }: ProxyPod, path: string): Promise<unknown> {
  const where = { namespace, pod, container: "istio-proxy" };
  const { stdout, stderr } = await execIn(kube, where, ["pilot-agent", "request", "GET", path]);
  const text = stdout.toString("utf8");
  try {
    // pilot-agent may warn on standard output first (a proxy without root certificates).
    return JSON.parse(text.slice(Math.max(0, text.search(/^\{/m))));
  } catch (cause) {
    const said = [text.slice(0, 100), stderr].join("\n").trim().slice(0, 300);
    throw new MeshproofError("ERR_PROBE", `the proxy of ${namespace}/${pod} does not answer ${path}: ${said}`, {
      cause,
    });
  }
}

/**
 * What decides about requests in a proxy's config: listeners, routes, and the runtime flags of its bootstrap; in the form of one
 * `config_dump`, which would hold secrets and clusters too.
 * @throws MeshproofError ERR_PROBE where the proxy gives none
 */
export async function dumpRequestConfig(kube: Kube, pod: ProxyPod): Promise<unknown> {
  const queries = ["resource=dynamic_listeners", "resource=dynamic_route_configs", "mask=bootstrap.layered_runtime"];
  const dumps = await Promise.all(queries.map(async (query) => await dumpProxy(kube, pod, query)));
  return { configs: dumps.flatMap((dump) => (dump as { readonly configs?: readonly unknown[] }).configs ?? []) };
}

/**
 * A proxy's own config. It may hold secrets: it is read, never printed.
 * @param query of `config_dump`, such as `resource=dynamic_listeners`
 * @throws MeshproofError ERR_PROBE where the proxy gives none
 */
export async function dumpProxy(kube: Kube, pod: ProxyPod, query: string): Promise<unknown> {
  return await askProxy(kube, pod, `config_dump?${query}`);
}
