/** What a proxy itself says: what it enforces, and how many threads it has. */

import type { Kube } from "../mesh/client.ts";
import type { ContainerRef } from "../mesh/exec.ts";
import { askProxy } from "../mesh/proxy-dump.ts";
import type { ProxyKind } from "../verdict/attachment.ts";
import { readProxyConfig, type ProxyConfig } from "../verdict/proxy-config.ts";
import type { Proxy } from "./places.ts";
import type { Curl } from "./round.ts";

/** A proxy's worker threads (`--concurrency`). */
export async function countWorkers(kube: Kube, proxy: Proxy): Promise<number> {
  const info = (await askProxy(kube, proxy, "server_info")) as {
    readonly command_line_options?: { readonly concurrency?: number };
  };
  return info.command_line_options?.concurrency ?? 2;
}

/** Maximum probability that a worker thread is missed. */
const MISSED = 1e-7;

/**
 * The kernel gives a new connection to any of a proxy's worker threads (SO_REUSEPORT): n of them miss one of w with a
 * probability of at most w (1 - 1/w)^n.
 */
export function requestsFor(workers: number): number {
  return workers <= 1 ? 1 : Math.ceil(Math.log(workers / MISSED) / -Math.log(1 - 1 / workers));
}

/** The listeners that judge requests. */
const JUDGING: Readonly<Record<ProxyKind, string>> = {
  gateway: "",
  sidecar: "&name_regex=virtualInbound",
  waypoint: "&name_regex=main_internal",
};

/** Envoy's admin interface, from within the pod. */
const ADMIN = "http://127.0.0.1:15000";

/**
 * Through the curl of the proxy's image, which is cheap, or where it has none (distroless), through pilot-agent, which each has.
 * @param shellless pods without; added to
 */
export async function readProxy(
  kube: Kube,
  proxy: Proxy,
  text: string,
  curl: Curl,
  shellless: Set<string>,
): Promise<ProxyConfig | undefined> {
  const path = `config_dump?resource=dynamic_listeners${JUDGING[proxy.kind]}`;
  const pod = `${proxy.namespace}/${proxy.pod}`;
  if (!shellless.has(pod)) {
    try {
      const { stdout } = await curl(
        containerOf(proxy),
        Buffer.from(`silent\nmax-time = 10\nurl = "${ADMIN}/${path}"\n`),
      );
      return stdout.includes(text) ? readProxyConfig(JSON.parse(stdout.toString("utf8"))) : undefined;
    } catch {
      shellless.add(pod);
    }
  }
  const dump = await askProxy(kube, proxy, path);
  return JSON.stringify(dump).includes(text) ? readProxyConfig(dump) : undefined;
}

function containerOf(proxy: Proxy): ContainerRef {
  return { namespace: proxy.namespace, pod: proxy.pod, container: "istio-proxy" };
}
