import { MeshproofError } from "../errors.ts";
import type { Kube } from "./client.ts";
import { execIn } from "./exec.ts";

/**
 * A proxy's own config (Envoy's admin `config_dump` through pilot-agent, which every proxy image has). It may hold
 * secrets: it is read, never printed.
 * @param query of `config_dump`, such as `resource=dynamic_listeners`
 * @throws MeshproofError ERR_PROBE where the proxy gives none
 */
export async function dumpProxy(
  kube: Kube,
  pod: { readonly namespace: string; readonly pod: string },
  query: string,
): Promise<unknown> {
  const where = { ...pod, container: "istio-proxy" };
  const { stdout, stderr } = await execIn(kube, where, ["pilot-agent", "request", "GET", `config_dump?${query}`]);
  const text = stdout.toString("utf8");
  try {
    // pilot-agent may warn on standard output first (a proxy without root certificates).
    return JSON.parse(text.slice(Math.max(0, text.search(/^\{/m))));
  } catch (cause) {
    const said = [text.slice(0, 100), stderr].join("\n").trim().slice(0, 300);
    throw new MeshproofError("ERR_PROBE", `the proxy of ${pod.namespace}/${pod.pod} gave no config dump: ${said}`, {
      cause,
    });
  }
}
