/** Where requests are sent from and to, and the pods whose proxies judge them. */

import type { V1Pod } from "@kubernetes/client-node";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { messageOf } from "../mesh/api-error.ts";
import type { Kube } from "../mesh/client.ts";
import type { ContainerRef } from "../mesh/exec.ts";
import { readyPods } from "../mesh/wait.ts";
import { hasProxyContainer } from "../mesh/proxy-container.ts";
import { GATEWAY_NAME, type ProxyKind, type Served } from "../verdict/attachment.ts";
import type { Labels } from "../model/finding.ts";
import { gatewayIn, waypointIn, type Way } from "../model/target.ts";
import { reachGateway } from "./gateways.ts";
import { servedBy, untilNoneIsGone, untilSentThrough, waypointProgrammed } from "./waypoints.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** A place that sends requests. */
export interface Place {
  readonly container: ContainerRef;
  /** For a person's `kubectl exec`. */
  readonly workload: string;
  /** Its own sidecar. */
  readonly proxy?: Proxy;
  /** Its address, where a proxy sees it as it is. */
  readonly ip?: string;
}

/** A pod whose proxy judges requests. */
export interface Proxy {
  readonly namespace: string;
  readonly pod: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  /** The service account that the pod runs as: its identity in the mesh. */
  readonly serviceAccount: string;
  readonly kind: ProxyKind;
  /** A waypoint's: what uses it. */
  readonly serves?: readonly Served[];
  /** A gateway's of the Gateway API: only policies with `targetRefs` reach it. */
  readonly targetRefsOnly?: boolean;
}

/** Where requests go: a URL without path, and the proxies that judge there. */
export interface Target {
  readonly url: string;
  /** `host:port` that is connected to in the place of the URL's. */
  readonly connectTo?: string;
  /** The port of the pods, where it is known. */
  readonly port?: number;
  readonly readyPods: number;
  readonly proxies: readonly Proxy[];
  /** The gateway's: those of the workloads that may be behind it. */
  readonly behind: readonly Proxy[];
  /** The gateway's: reads the pods of each host that its routes may name. */
  readonly pods?: () => Promise<PodsOfHosts>;
  /** The waypoint that requests must pass, also among {@link proxies}, before the gateway's. */
  readonly through?: {
    readonly name: string;
    readonly proxies: readonly Proxy[];
    /** The client's own proxy sends to it by HBONE: the Service and its port, as a cluster of a gateway is called. */
    readonly fromClient?: string;
  };
}

/** Host of a Service to its ready pods: how many there are, and the proxies of those that have one. */
export type PodsOfHosts = ReadonlyMap<string, { readonly count: number; readonly proxies: readonly Proxy[] }>;

/** What names of scenarios mean in a cluster. */
export interface Places {
  place(name: string): Promise<Place>;
  target(way: Way): Promise<Target>;
}

type Namespaces = Pick<ClusterHandle, "namespace" | "outsideNamespace" | "ingressUrl">;

export async function findPlace(kube: Kube, handle: Namespaces, name: string): Promise<Place> {
  const where = name === "sleep" ? handle.namespace : handle.outsideNamespace;
  const [pod] = await readyPods(kube, where, `app=${name}`);
  if (!pod) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the place ${name} has no ready pod in ${where}`);
  const container = name === "outside" ? "curl" : name;
  return {
    container: { namespace: where, pod: pod.metadata?.name ?? "", container },
    workload: `deploy/${name}`,
    ...(hasProxyContainer(pod) ? { proxy: proxyOf(pod) } : {}),
  };
}

export async function findTarget(kube: Kube, handle: Namespaces, { to, through }: Way): Promise<Target> {
  const waypoint = through === undefined ? undefined : waypointIn(through);
  const [target, proxies] = await Promise.all([
    findEntry(kube, handle, to),
    waypoint === undefined ? [] : findWaypoint(kube, handle.namespace, waypoint),
  ]);
  await untilNoneIsGone(kube, target.proxies, handle.namespace);
  if (through === undefined) return target;
  await untilSentThrough(kube, target.proxies, proxies);
  return { ...target, proxies: [...proxies, ...target.proxies], through: { name: through, proxies } };
}

/** A waypoint's pods. */
async function findWaypoint(kube: Kube, namespace: string, name: string): Promise<Proxy[]> {
  await waypointProgrammed(kube, namespace, name);
  const [pods, serves] = await Promise.all([
    readyPods(kube, namespace, `${GATEWAY_NAME}=${name}`),
    servedBy(kube, namespace, name),
  ]);
  const proxies = pods.map((pod) => ({ ...proxyOf(pod), serves })).filter(({ kind }) => kind === "waypoint");
  if (proxies.length === 0)
    throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the waypoint ${name} has no ready pod in ${namespace}`);
  return proxies;
}

async function findEntry(kube: Kube, handle: Namespaces, name: string): Promise<Target> {
  if (name === "ingress") {
    const pods = await readyPods(kube, ROOT_NAMESPACE, "istio=ingressgateway");
    if (pods.length === 0)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", "the ingress gateway has no ready pod in istio-system");
    return {
      ...{ url: handle.ingressUrl, readyPods: pods.length },
      proxies: pods.map((pod) => proxyOf(pod, "gateway")),
      ...(await behindIn(kube, handle.namespace)),
    };
  }
  const gateway = gatewayIn(name);
  if (gateway !== undefined) {
    const { namespace } = handle;
    const [reached, pods, behind] = await Promise.all([
      reachGateway(kube, namespace, gateway),
      readyPods(kube, namespace, `${GATEWAY_NAME}=${gateway.name}`),
      behindIn(kube, namespace),
    ]);
    return { ...reached, readyPods: pods.length, proxies: pods.map((pod) => proxyOf(pod)), ...behind };
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
    proxies: proxiesOf(pods),
    behind: [],
  };
}

/** What may be behind a gateway. */
async function behindIn(kube: Kube, namespace: string): Promise<Required<Pick<Target, "behind" | "pods">>> {
  const pods = await readyPods(kube, namespace, "");
  const readServices = async () => {
    const { items } = await kube.core.listNamespacedService({ namespace });
    return items.map(({ metadata, spec }) => {
      return { namespace, name: metadata?.name ?? "", selector: spec?.selector ?? {} };
    });
  };
  let read: Promise<PodsOfHosts> | undefined;
  return {
    behind: sidecarsOf(pods),
    // Only an explanation asks, which most steps do not need.
    pods: () => (read ??= readServices().then((services) => podsOf(services, pods))),
  };
}

export function proxiesOf(pods: readonly V1Pod[]): Proxy[] {
  return pods.filter(hasProxyContainer).map((pod) => proxyOf(pod));
}

function sidecarsOf(pods: readonly V1Pod[]): Proxy[] {
  return proxiesOf(pods).filter(({ kind }) => kind === "sidecar");
}

/** The pods that each Service selects; one without a selector has its endpoints from elsewhere. */
export function podsOf(
  services: readonly { readonly namespace: string; readonly name: string; readonly selector: Labels }[],
  pods: readonly V1Pod[],
): PodsOfHosts {
  return new Map(
    services.flatMap(({ namespace, name, selector }) => {
      if (Object.keys(selector).length === 0) return [];
      const chosen = pods.filter(
        ({ metadata }) =>
          metadata?.namespace === namespace &&
          Object.entries(selector).every(([key, value]) => metadata.labels?.[key] === value),
      );
      const host = `${name}.${namespace}.svc.cluster.local`;
      return [[host, { count: chosen.length, proxies: sidecarsOf(chosen) }] as const];
    }),
  );
}

/** What istiod writes on the pods that it makes for a Gateway, by what the Gateway's class is for. */
const MANAGED = "gateway.istio.io/managed";
const KINDS: Readonly<Record<string, ProxyKind>> = {
  "istio.io-gateway-controller": "gateway",
  "istio.io-mesh-controller": "waypoint",
};

/** @param kind by default as its labels say: a classic gateway has none of its own */
export function proxyOf(pod: V1Pod, kind?: ProxyKind): Proxy {
  return {
    namespace: pod.metadata?.namespace ?? "",
    pod: pod.metadata?.name ?? "",
    ip: pod.status?.podIP ?? "",
    labels: pod.metadata?.labels ?? {},
    // What the API server writes where a pod names none.
    serviceAccount: pod.spec?.serviceAccountName ?? "default",
    kind: kind ?? KINDS[pod.metadata?.labels?.[MANAGED] ?? ""] ?? "sidecar",
  };
}
