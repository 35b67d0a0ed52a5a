import type { V1Pod } from "@kubernetes/client-node";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { connect, messageOf, type Kube } from "../mesh/client.ts";
import { openCommandLine, type CommandLine } from "../mesh/command-line.ts";
import type { ContainerRef, ExecResult } from "../mesh/exec.ts";
import { askProxy } from "../mesh/proxy-dump.ts";
import { readyPods } from "../mesh/wait.ts";
import { CURL_COMMAND } from "../probe/curl.ts";
import { createTokenFactory, type TokenFactory } from "../tokens/factory.ts";
import { readProxyConfig, type ProxyConfig } from "../verdict/proxy-config.ts";
import { followWith, openAccessLog, type AccessLog } from "./access-log.ts";
import type { RunPlan } from "./plan.ts";
import { findServer } from "./workloads.ts";

/** The namespace whose policies hold for the whole mesh (meshConfig.rootNamespace's default). */
export const ROOT_NAMESPACE = "istio-system";

/** A place that sends requests. */
export interface Place {
  readonly container: ContainerRef;
  /** For a person's `kubectl exec`. */
  readonly workload: string;
  /** Its own sidecar. */
  readonly proxy?: Proxy;
}

/** A pod whose proxy judges requests. */
export interface Proxy {
  readonly namespace: string;
  readonly pod: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The service account that the pod runs as: its identity in the mesh. */
  readonly serviceAccount: string;
  readonly gateway: boolean;
}

/** Where requests go: a URL without path, and the proxies that judge there. */
export interface Target {
  readonly url: string;
  readonly readyPods: number;
  readonly proxies: readonly Proxy[];
  /** The gateway's: those of the workloads that may be behind it. */
  readonly behind: readonly Proxy[];
}

/** A run's view of its cluster. Places and targets are looked up once per scenario. */
export interface Session {
  readonly plan: RunPlan;
  readonly handle: ClusterHandle;
  readonly kube: Kube;
  readonly tokens: TokenFactory;
  readonly accessLog: AccessLog;
  place(name: string): Promise<Place>;
  target(name: string): Promise<Target>;
  /** The JWKS server's container and address. */
  server(name: string): Promise<ContainerRef & { readonly ip: string }>;
  /** Runs curl in a container with this config (`--config -`). */
  curl(where: ContainerRef, config: string): Promise<ExecResult>;
  /** What a proxy itself says it enforces; undefined where its answer does not hold this text (a marker's nonce). */
  proxyConfig(proxy: Proxy, text: string): Promise<ProxyConfig | undefined>;
  /** So many requests on connections of their own reach every worker thread of a proxy that they pass, as good as surely. */
  flushRequests(proxies: readonly Proxy[]): Promise<number>;
  /** Forgets what was looked up: pods may have been replaced since. */
  forget(): void;
  close(): void;
}

export async function openSession(plan: RunPlan, handle: ClusterHandle): Promise<Session> {
  const kube = connect(handle.kubeconfig, handle.journal?.file, !handle.ours);
  const tokens = await createTokenFactory({ issuersDir: `${plan.scenariosRoot}/issuers`, keyFolder: plan.keyFolder });
  const cache = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, make: () => Promise<T>): Promise<T> => {
    const found = (cache.get(key) as Promise<T> | undefined) ?? make();
    cache.set(key, found);
    return found;
  };
  const lines = new Map<string, Promise<CommandLine>>();
  const curl = async (where: ContainerRef, config: string): Promise<ExecResult> => {
    const key = `${where.namespace}/${where.pod}/${where.container}`;
    const known = lines.get(key);
    const line = known && (await known).open ? known : openCommandLine(kube, where, CURL_COMMAND);
    lines.set(key, line);
    line.catch(() => lines.delete(key));
    return (await line).run(config);
  };
  const accessLog = openAccessLog(plan.runId, followWith(kube));
  const shellless = new Set<string>();
  const workerCounts = new Map<string, Promise<number>>();
  return {
    plan,
    handle,
    kube,
    tokens,
    accessLog,
    curl,
    proxyConfig: (proxy, text) => readProxy(kube, proxy, text, curl, shellless),
    flushRequests: async (proxies) =>
      Math.max(
        1,
        ...(await Promise.all(
          proxies.map(async (proxy) => {
            const key = `${proxy.namespace}/${proxy.pod}`;
            const workers = workerCounts.get(key) ?? countWorkers(kube, proxy);
            workerCounts.set(key, workers);
            return requestsFor(await workers);
          }),
        )),
      ),
    place: (name) => once(`place ${name}`, () => findPlace(kube, handle, name)),
    target: (name) => once(`target ${name}`, () => findTarget(kube, handle, name)),
    server: (name) =>
      once(`server ${name}`, async () => {
        const found = await findServer(kube, handle, name);
        if (!found) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the JWKS server ${name} has no ready pod`);
        return found;
      }),
    forget: () => cache.clear(),
    close: () => {
      accessLog.close();
      for (const line of lines.values()) line.then((opened) => opened.close()).catch(() => undefined);
    },
  };
}

/** A proxy's worker threads (`--concurrency`). */
async function countWorkers(kube: Kube, proxy: Proxy): Promise<number> {
  const info = (await askProxy(kube, proxy, "server_info")) as {
    readonly command_line_options?: { readonly concurrency?: number };
  };
  return info.command_line_options?.concurrency ?? 2;
}

/** How unlikely it shall be that a worker is missed. */
const MISSED = 1e-7;

/**
 * The kernel gives a new connection to any of a proxy's worker threads (SO_REUSEPORT): n of them miss one of w with a
 * probability of at most w (1 - 1/w)^n.
 */
export function requestsFor(workers: number): number {
  return workers <= 1 ? 1 : Math.ceil(Math.log(workers / MISSED) / -Math.log(1 - 1 / workers));
}

/** Envoy's admin interface, from within the pod. */
const ADMIN = "http://127.0.0.1:15000";

/**
 * Through the curl of the proxy's image, which is cheap, or where it has none (distroless), through pilot-agent, which each has.
 * @param shellless pods without; added to
 */
async function readProxy(
  kube: Kube,
  proxy: Proxy,
  text: string,
  curl: Session["curl"],
  shellless: Set<string>,
): Promise<ProxyConfig | undefined> {
  const query = proxy.gateway ? "resource=dynamic_listeners" : "resource=dynamic_listeners&name_regex=virtualInbound";
  const path = `config_dump?${query}`;
  const pod = `${proxy.namespace}/${proxy.pod}`;
  if (!shellless.has(pod)) {
    try {
      const { stdout } = await curl(containerOf(proxy), `silent\nmax-time = 10\nurl = "${ADMIN}/${path}"\n`);
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

async function findPlace(kube: Kube, handle: ClusterHandle, name: string): Promise<Place> {
  const where = name === "sleep" ? handle.namespace : handle.outsideNamespace;
  const [pod] = await readyPods(kube, where, `app=${name}`);
  if (!pod) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the place ${name} has no ready pod in ${where}`);
  const container = name === "outside" ? "curl" : name;
  return {
    container: { namespace: where, pod: pod.metadata?.name ?? "", container },
    workload: `deploy/${name}`,
    ...(hasSidecar(pod) ? { proxy: proxyOf(pod, false) } : {}),
  };
}

async function findTarget(kube: Kube, handle: ClusterHandle, name: string): Promise<Target> {
  if (name === "ingress") {
    const pods = await readyPods(kube, ROOT_NAMESPACE, "istio=ingressgateway");
    if (pods.length === 0)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", "the ingress gateway has no ready pod in istio-system");
    const workloads = await readyPods(kube, handle.namespace, "");
    return {
      url: handle.ingressUrl,
      readyPods: pods.length,
      proxies: pods.map((pod) => proxyOf(pod, true)),
      behind: workloads.filter(hasSidecar).map((pod) => proxyOf(pod, false)),
    };
  }
  const namespace = handle.namespace;
  const service = await kube.core.readNamespacedService({ namespace, name }).catch((cause: unknown) => {
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      `there is no Service ${namespace}/${name} to send to: ${messageOf(cause)}`,
      { cause },
    );
  });
  const port = service.spec?.ports?.[0]?.port ?? 80;
  const selector = Object.entries(service.spec?.selector ?? {}).map(([key, value]) => `${key}=${value}`);
  const pods = await readyPods(kube, namespace, selector.join(","));
  return {
    url: `http://${name}.${namespace}${port === 80 ? "" : `:${port}`}`,
    readyPods: pods.length,
    proxies: pods.filter(hasSidecar).map((pod) => proxyOf(pod, false)),
    behind: [],
  };
}

function hasSidecar(pod: V1Pod): boolean {
  return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].some((c) => c.name === "istio-proxy");
}

export function proxyOf(pod: V1Pod, gateway: boolean): Proxy {
  return {
    namespace: pod.metadata?.namespace ?? "",
    pod: pod.metadata?.name ?? "",
    ip: pod.status?.podIP ?? "",
    labels: pod.metadata?.labels ?? {},
    // What the API server writes where a pod names none.
    serviceAccount: pod.spec?.serviceAccountName ?? "default",
    gateway,
  };
}
