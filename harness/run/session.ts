import type { V1Pod } from "@kubernetes/client-node";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../errors.ts";
import { connect, messageOf, type Kube } from "../kube/client.ts";
import { execIn, type ContainerRef } from "../kube/exec.ts";
import { readyPods } from "../kube/wait.ts";
import { createTokenFactory, type TokenFactory } from "../tokens/index.ts";
import { readProxyConfig, type ProxyConfig } from "../verdict/proxy-config.ts";
import type { RunPlan } from "./plan.ts";
import { findServer } from "./workloads.ts";

/** The namespace whose policies hold for the whole mesh (meshConfig.rootNamespace's default). */
export const ROOT_NAMESPACE = "istio-system";

/** A place that sends requests. */
export interface Place {
  readonly container: ContainerRef;
  /** For a person's `kubectl exec`. */
  readonly workload: string;
}

/** A pod whose proxy judges requests. */
export interface Proxy {
  readonly namespace: string;
  readonly pod: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly gateway: boolean;
}

/** Where requests go: a URL without path, and the proxies that judge there. */
export interface Target {
  readonly url: string;
  readonly readyPods: number;
  readonly proxies: readonly Proxy[];
}

/** A run's view of its cluster. Places and targets are looked up once per scenario. */
export interface Session {
  readonly plan: RunPlan;
  readonly kube: Kube;
  readonly tokens: TokenFactory;
  place(name: string): Promise<Place>;
  target(name: string): Promise<Target>;
  /** The JWKS server's container and address. */
  server(name: string): Promise<ContainerRef & { readonly ip: string }>;
  /** Forgets what was looked up: pods may have been replaced since. */
  forget(): void;
}

export async function openSession(plan: RunPlan): Promise<Session> {
  const kube = connect(plan.handle.kubeconfig, plan.handle.journal?.file);
  const tokens = await createTokenFactory({ issuersDir: `${plan.scenariosRoot}/issuers`, keyFolder: plan.keyFolder });
  const cache = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, make: () => Promise<T>): Promise<T> => {
    const found = (cache.get(key) as Promise<T> | undefined) ?? make();
    cache.set(key, found);
    return found;
  };
  return {
    plan,
    kube,
    tokens,
    place: (name) => once(`place ${name}`, () => findPlace(kube, plan.handle, name)),
    target: (name) => once(`target ${name}`, () => findTarget(kube, plan, name)),
    server: (name) =>
      once(`server ${name}`, async () => {
        const found = await findServer(kube, plan.handle, name);
        if (!found) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the JWKS server ${name} has no ready pod`);
        return found;
      }),
    forget: () => cache.clear(),
  };
}

/** What the proxy itself says it enforces (its admin `config_dump` through pilot-agent, which every proxy image has). */
export async function readProxy(kube: Kube, proxy: Proxy, signal?: AbortSignal): Promise<ProxyConfig> {
  const query = proxy.gateway ? "resource=dynamic_listeners" : "resource=dynamic_listeners&name_regex=virtualInbound";
  const where = { namespace: proxy.namespace, pod: proxy.pod, container: "istio-proxy" };
  const result = await execIn(
    kube,
    where,
    ["pilot-agent", "request", "GET", `config_dump?${query}`],
    signal ? { signal } : {},
  );
  const text = result.stdout.toString("utf8");
  try {
    // pilot-agent may warn on standard output first (a proxy without root certificates).
    return readProxyConfig(JSON.parse(text.slice(Math.max(0, text.search(/^\{/m)))));
  } catch (cause) {
    const said = [text, result.stderr].join("\n").trim().slice(0, 300);
    throw new MeshproofError("ERR_PROBE", `the proxy of ${proxy.namespace}/${proxy.pod} gave no config dump: ${said}`, {
      cause,
    });
  }
}

async function findPlace(kube: Kube, handle: ClusterHandle, name: string): Promise<Place> {
  const outside = name === "outside";
  const where = outside ? handle.outsideNamespace : handle.namespace;
  const [pod] = await readyPods(kube, where, `app=${name}`);
  if (!pod) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the place ${name} has no ready pod in ${where}`);
  const container = outside ? "curl" : name;
  return { container: { namespace: where, pod: pod.metadata?.name ?? "", container }, workload: `deploy/${name}` };
}

async function findTarget(kube: Kube, plan: RunPlan, name: string): Promise<Target> {
  if (name === "ingress") {
    const pods = await readyPods(kube, ROOT_NAMESPACE, "istio=ingressgateway");
    if (pods.length === 0)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", "the ingress gateway has no ready pod in istio-system");
    return { url: plan.handle.ingressUrl, readyPods: pods.length, proxies: pods.map((pod) => proxyOf(pod, true)) };
  }
  const namespace = plan.handle.namespace;
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
  };
}

function hasSidecar(pod: V1Pod): boolean {
  return [...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].some((c) => c.name === "istio-proxy");
}

function proxyOf(pod: V1Pod, gateway: boolean): Proxy {
  return {
    namespace: pod.metadata?.namespace ?? "",
    pod: pod.metadata?.name ?? "",
    ip: pod.status?.podIP ?? "",
    labels: pod.metadata?.labels ?? {},
    gateway,
  };
}
