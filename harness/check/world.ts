/**
 * What a cluster would make of a step's objects: pods with addresses and sidecars, endpoints of Services, the pods of Gateways. istiod
 * reads it (kube-api.ts), and requests find their places and targets in it. Pure.
 */

import { MeshproofError } from "../model/errors.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";
import type { ManifestObject } from "../model/manifest.ts";
import { gatewayIn, INGRESS_URL, type Way } from "../model/target.ts";
import type { Place, Places, Proxy, Target } from "../run/places.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";
import { gatewayParts, INGRESS, INJECT, reachListener, specOf } from "./gateways.ts";
import type { NodeInfo } from "./protobuf.ts";

export interface Pod {
  readonly namespace: string;
  readonly name: string;
  readonly ip: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly serviceAccount: string;
  readonly ports: readonly { readonly name?: string; readonly containerPort: number }[];
  readonly annotations: Readonly<Record<string, string>>;
  /** Left out for a pod without one. */
  readonly proxy?: Proxy["kind"];
}

export interface World extends Places {
  /** Everything that istiod reads. */
  readonly objects: readonly ManifestObject[];
  /** The ready pods of a Service, by its host name, with the port of theirs that a port of the Service has; undefined without one. */
  podsBehind(host: string, port: number): readonly { readonly pod: Pod; readonly port: number }[] | undefined;
  nodeOf(proxy: Proxy): NodeInfo;
  /** Ports of Services on which no pod listens: proxies judge by the port of the pod. */
  readonly servicePorts: ReadonlySet<string>;
  /** The annotation of its pod that may lead requests past it. */
  bypassOf(proxy: Proxy): string | undefined;
}

export interface WorldOptions {
  /** `${ns}`, whose pods have sidecars. */
  readonly namespace: string;
  /** `${outside.ns}` */
  readonly outsideNamespace: string;
  readonly istio: string;
}

interface Template {
  readonly metadata?: {
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: {
    readonly serviceAccountName?: string;
    readonly hostNetwork?: boolean;
    readonly containers?: readonly { readonly ports?: Pod["ports"] }[];
  };
}

interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly targetPort?: number | string;
}

const WITH_TEMPLATE: ReadonlySet<string> = new Set(["Deployment", "ReplicaSet", "StatefulSet", "DaemonSet"]);
export function buildWorld(given: readonly ManifestObject[], options: WorldOptions): World {
  const { namespace, outsideNamespace, istio } = options;
  const objects = [...INGRESS, ...given, ...given.flatMap((object) => gatewayParts(object, namespace))];
  const labels = namespaceLabels(objects, options);
  const pods = objects.flatMap((object, index) => podOf(object, index, labels, namespace) ?? []);
  const services = objects.filter(({ kind, apiVersion }) => kind === "Service" && apiVersion === "v1");
  const find = (where: string, name: string): ManifestObject | undefined =>
    services.find(({ metadata }) => metadata.name === name && (metadata.namespace ?? namespace) === where);
  const podsOf = (service: ManifestObject): Pod[] => {
    const selector = Object.entries(specOf<{ selector?: Record<string, string> }>(service).selector ?? {});
    const where = service.metadata.namespace ?? namespace;
    return selector.length === 0
      ? []
      : pods.filter((pod) => pod.namespace === where && selector.every(([key, value]) => pod.labels[key] === value));
  };
  const proxies = (all: readonly Pod[]): Proxy[] => all.flatMap((pod) => proxyOf(pod) ?? []);
  const findTarget = ({ to, through }: Way): Target => {
    if (through !== undefined) throw new Error("a waypoint is not evaluated");
    const behind = proxies(pods.filter((pod) => pod.namespace === namespace && pod.proxy === "sidecar"));
    if (to === "ingress") {
      const gateway = pods.filter(
        (pod) => pod.namespace === ROOT_NAMESPACE && pod.labels["istio"] === "ingressgateway",
      );
      return { url: INGRESS_URL, readyPods: gateway.length, proxies: proxies(gateway), behind };
    }
    const gateway = gatewayIn(to);
    if (gateway !== undefined) {
      const its = pods.filter((pod) => pod.namespace === namespace && pod.labels[GATEWAY_NAME] === gateway.name);
      const reached = reachListener(given, namespace, gateway.name, gateway.listener);
      return { ...reached, readyPods: its.length, proxies: proxies(its), behind };
    }
    const service = find(namespace, to);
    if (service === undefined)
      throw new MeshproofError("ERR_SCENARIO_INVALID", `there is no Service ${namespace}/${to} to send to`);
    const [first] = portsOf(service);
    const its = podsOf(service);
    const target = its[0] && first && targetPort(first, its[0]);
    const port = first?.port ?? 80;
    return {
      url: `http://${to}.${namespace}${port === 80 ? "" : `:${port}`}`,
      ...(target !== undefined && { port: target }),
      readyPods: its.length,
      proxies: proxies(its),
      behind: [],
    };
  };
  const targets = new Set([
    ...services.flatMap((service) =>
      podsOf(service).flatMap((pod) => portsOf(service).map((port) => String(targetPort(port, pod)))),
    ),
    ...pods.flatMap((pod) => pod.ports.map(({ containerPort }) => String(containerPort))),
  ]);
  const ports = services.flatMap((service) => portsOf(service).map(({ port }) => String(port)));
  return {
    servicePorts: new Set(ports.filter((port) => !targets.has(port))),
    objects: [
      ...objects.filter(
        ({ kind }) => kind !== "Service" && kind !== "Pod" && !WITH_TEMPLATE.has(kind) && kind !== "Namespace",
      ),
      ...[...labels].map(([name, its]): ManifestObject => ({
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name, labels: { "kubernetes.io/metadata.name": name, ...its } },
      })),
      ...services.map((service, index) => asService(service, index, namespace)),
      ...services.map((service) => endpointsOf(service, podsOf(service), namespace)),
      ...pods.map(asPod),
    ].map((object) => inNamespace(object, namespace)),
    podsBehind(host, port) {
      const [name = "", where = ""] = host.split(".");
      const service = find(where, name);
      const found = service && portsOf(service).find((one) => one.port === port);
      if (service === undefined || found === undefined) return undefined;
      return podsOf(service).map((pod) => ({ pod, port: targetPort(found, pod) ?? port }));
    },
    bypassOf: ({ namespace: where, pod: name }) =>
      Object.keys(pods.find((pod) => pod.namespace === where && pod.name === name)?.annotations ?? {}).find((one) =>
        one.startsWith("traffic.sidecar.istio.io/"),
      ),
    nodeOf: (proxy) => nodeOf(proxy, istio),
    place: (name) => {
      const where = name === "sleep" ? namespace : outsideNamespace;
      const pod = pods.find((one) => one.namespace === where && one.labels["app"] === name);
      if (pod === undefined)
        return Promise.reject(new MeshproofError("ERR_SCENARIO_INVALID", `the place ${name} has no pod in ${where}`));
      return Promise.resolve(placeOf(pod, name));
    },
    target: (way) => Promise.resolve().then(() => findTarget(way)),
  };
}

/** Kinds without a namespace; anything else without one is in `${ns}`. */
const CLUSTER_KINDS: ReadonlySet<string> = new Set(["Namespace", "GatewayClass", "CustomResourceDefinition"]);

export function inNamespace(object: ManifestObject, namespace: string): ManifestObject {
  if (CLUSTER_KINDS.has(object.kind) || object.metadata.namespace !== undefined) return object;
  return { ...object, metadata: { ...object.metadata, namespace } };
}

function namespaceLabels(
  objects: readonly ManifestObject[],
  { namespace, outsideNamespace }: WorldOptions,
): Map<string, Readonly<Record<string, string>>> {
  const found = new Map<string, Readonly<Record<string, string>>>([
    [ROOT_NAMESPACE, {}],
    [outsideNamespace, {}],
    [namespace, { "istio-injection": "enabled" }],
  ]);
  for (const { kind, metadata } of objects)
    if (kind === "Namespace") found.set(metadata.name, { ...found.get(metadata.name), ...metadata.labels });
    else if (metadata.namespace !== undefined && !found.has(metadata.namespace)) found.set(metadata.namespace, {});
  return found;
}

function podOf(
  object: ManifestObject,
  index: number,
  namespaces: ReadonlyMap<string, Readonly<Record<string, string>>>,
  usual: string,
): Pod | undefined {
  const { kind, metadata } = object;
  if (kind !== "Pod" && !WITH_TEMPLATE.has(kind)) return undefined;
  const { template, replicas = 1 } = specOf<{ template?: Template; replicas?: number }>(object);
  if (replicas === 0) return undefined;
  const { metadata: own, spec } = kind === "Pod" ? (object as unknown as Template) : (template ?? {});
  const namespace = metadata.namespace ?? usual;
  const labels = own?.labels ?? {};
  const injects = labels[INJECT] ?? own?.annotations?.[INJECT];
  const isInjected =
    spec?.hostNetwork !== true &&
    (injects === undefined ? namespaces.get(namespace)?.["istio-injection"] === "enabled" : injects === "true");
  const isIngress = namespace === ROOT_NAMESPACE && labels["istio"] === "ingressgateway";
  const proxy = isIngress || labels[GATEWAY_NAME] !== undefined ? "gateway" : isInjected ? "sidecar" : undefined;
  return {
    namespace,
    name: kind === "Pod" ? metadata.name : `${metadata.name}-1`,
    ip: `10.${128 + (index >> 16)}.${(index >> 8) & 255}.${index & 255}`,
    // The injector's own label, by which clients know that a sidecar takes mTLS.
    labels: proxy === "sidecar" ? { "security.istio.io/tlsMode": "istio", ...labels } : labels,
    annotations: own?.annotations ?? {},
    serviceAccount: spec?.serviceAccountName ?? "default",
    ports: (spec?.containers ?? []).flatMap(({ ports = [] }) => ports),
    ...(proxy && { proxy }),
  };
}

export function proxyOf({ namespace, name, ip, labels, serviceAccount, proxy }: Pod): Proxy | undefined {
  return proxy && { namespace, pod: name, ip, labels, serviceAccount, kind: proxy };
}

function placeOf(pod: Pod, name: string): Place {
  const { namespace } = pod;
  const proxy = proxyOf(pod);
  return {
    container: { namespace, pod: pod.name, container: name === "outside" ? "curl" : name },
    workload: `deploy/${name}`,
    ...(proxy && { proxy }),
  };
}

function nodeOf({ namespace, pod, ip, labels, serviceAccount, kind }: Proxy, istio: string): NodeInfo {
  const type = kind === "gateway" ? "router" : kind;
  return {
    id: `${type}~${ip}~${pod}.${namespace}~${namespace}.svc.cluster.local`,
    cluster: `${pod}.${namespace}`,
    metadata: {
      NAMESPACE: namespace,
      LABELS: labels,
      ISTIO_VERSION: istio,
      SERVICE_ACCOUNT: serviceAccount,
      CLUSTER_ID: "Kubernetes",
      ...(kind === "sidecar" && { INTERCEPTION_MODE: "REDIRECT" }),
    },
  };
}

function portsOf(service: ManifestObject): readonly ServicePort[] {
  return specOf<{ ports?: readonly ServicePort[] }>(service).ports ?? [];
}

function targetPort({ port, targetPort: target = port }: ServicePort, pod: Pod): number | undefined {
  if (typeof target === "number") return target;
  return /^\d+$/.test(target) ? Number(target) : pod.ports.find(({ name }) => name === target)?.containerPort;
}

/** With what the API server fills in. */
function asService(service: ManifestObject, index: number, usual: string): ManifestObject {
  const spec = specOf<Record<string, unknown>>(service);
  const ip = `10.96.${(index + 1) >> 8}.${(index + 1) & 255}`;
  const ports = portsOf(service).map((one) => ({ protocol: "TCP", targetPort: one.port, ...one }));
  const address =
    spec["clusterIP"] === "None" || spec["type"] === "ExternalName" ? {} : { clusterIP: ip, clusterIPs: [ip] };
  return {
    ...service,
    metadata: { namespace: usual, ...service.metadata },
    spec: { type: "ClusterIP", ...spec, ...address, ports },
  };
}

function endpointsOf(service: ManifestObject, pods: readonly Pod[], usual: string): ManifestObject {
  const { name, namespace = usual } = service.metadata;
  const [first] = pods;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: `${name}-1`, namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    ports: portsOf(service).map((port) => ({
      ...(port.name !== undefined && { name: port.name }),
      port: first === undefined ? port.port : targetPort(port, first),
      protocol: "TCP",
    })),
    endpoints: pods.map((pod) => ({
      addresses: [pod.ip],
      conditions: { ready: true },
      targetRef: { kind: "Pod", name: pod.name, namespace: pod.namespace },
    })),
  };
}

function asPod({ namespace, name, ip, labels, annotations, serviceAccount, ports }: Pod): ManifestObject {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { ...labels }, annotations: { ...annotations } },
    spec: { serviceAccountName: serviceAccount, nodeName: "node", containers: [{ name: "app", ports }] },
    status: {
      phase: "Running",
      podIP: ip,
      podIPs: [{ ip }],
      conditions: [{ type: "Ready", status: "True" }],
    },
  };
}
