/**
 * Decides which parts of a ticket's objects are applied, cannot matter, or are not understood. Nothing is dropped silently: a kind,
 * a field or a label that is in none of these lists may decide.
 */

import type { PolicyTarget } from "../model/attachment.ts";
import { GATEWAY_API_GROUP, isOfGatewayApiGroup } from "../model/target.ts";
import type { Difference, LeftOut } from "../model/ticket.ts";
import { INGRESS_USES, isWaypoint, MODE, USES, USES_NAMESPACE, WAYPOINT_FOR } from "../model/waypoint.ts";
import { targetsOf } from "../verdict/attachment.ts";
import type { ObjectRef } from "../model/finding.ts";
import { notServed } from "./gateway-fields.ts";
import type { TicketObject } from "./ticket.ts";

/** Kinds that are applied unchanged: the API server and the mesh read every field. */
const APPLIED: Readonly<Record<string, readonly string[]>> = {
  "security.istio.io": ["RequestAuthentication", "AuthorizationPolicy", "PeerAuthentication"],
  "networking.istio.io": ["VirtualService", "Gateway", "ServiceEntry", "DestinationRule", "Sidecar", "EnvoyFilter"],
  [GATEWAY_API_GROUP]: ["Gateway", "HTTPRoute", "GRPCRoute", "ReferenceGrant"],
};

/** Kubernetes objects that become stand-ins: each of these fields is read, or cannot matter. */
const WORKLOADS: Readonly<Record<string, readonly string[]>> = {
  "": ["Service", "Pod", "Namespace", "ServiceAccount"],
  apps: ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"],
};

/** Kinds that no proxy uses to judge a request. */
const IRRELEVANT: Readonly<Record<string, readonly string[]>> = {
  "": ["ConfigMap", "Secret", "PersistentVolumeClaim", "PersistentVolume", "LimitRange", "ResourceQuota", "Event"],
  autoscaling: ["HorizontalPodAutoscaler"],
  policy: ["PodDisruptionBudget"],
  "rbac.authorization.k8s.io": ["Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"],
  "telemetry.istio.io": ["Telemetry"],
  "scheduling.k8s.io": ["PriorityClass"],
  "storage.k8s.io": ["StorageClass"],
  "monitoring.coreos.com": ["ServiceMonitor", "PodMonitor", "PrometheusRule"],
  "cert-manager.io": ["Certificate", "Issuer", "ClusterIssuer"],
};

export function groupOf(apiVersion: string | undefined): string {
  return apiVersion?.includes("/") === true ? apiVersion.replace(/\/.*$/s, "") : "";
}

function isIn(lists: Readonly<Record<string, readonly string[]>>, { apiVersion, kind }: TicketObject): boolean {
  return lists[groupOf(apiVersion)]?.includes(kind) === true;
}

export function isApplied(object: TicketObject): boolean {
  return isIn(APPLIED, object) && whyLeftOut(object) === undefined;
}

/** Whether an object is a policy of `security.istio.io`, not of another group with a kind of that name. */
export function isPolicy(object: TicketObject): boolean {
  return groupOf(object.apiVersion) === "security.istio.io" && isApplied(object);
}

/** Whether an object that is understood has this kind; a Gateway is Istio's then. */
export function isKind(object: TicketObject, kind: string): boolean {
  return object.kind === kind && !isOfGatewayApiGroup(object) && (isApplied(object) || isIn(WORKLOADS, object));
}

/** Like {@link isKind}, for kinds of the Gateway API; a waypoint is not a gateway. */
export function isOfGatewayApi(object: TicketObject, kind: string): boolean {
  return object.kind === kind && isOfGatewayApiGroup(object) && isApplied(object) && !isWaypoint(object);
}

/** Whether an object that is understood is in a namespace. */
export function isNamespaced(object: TicketObject): boolean {
  return object.kind !== "Namespace" && (isApplied(object) || isIn(WORKLOADS, object));
}

export function refOf({ kind, metadata }: TicketObject): ObjectRef {
  return { kind, namespace: metadata.namespace ?? "", name: metadata.name };
}

/** What an object is to the proxies: a policy, a rule about where requests go, what answers or sends them, or nothing. */
export function roleOf(object: TicketObject): "policy" | "routing" | "workload" | "irrelevant" {
  if (groupOf(object.apiVersion) === "security.istio.io" && isIn(APPLIED, object)) return "policy";
  if (isMeshConfig(object)) return "routing";
  return isIn(IRRELEVANT, object) ? "irrelevant" : isIn(WORKLOADS, object) ? "workload" : "routing";
}

/** The part of a value that is a variable: of a shell, of Helm, or a name between angle brackets. */
export function openValueIn(value: string): string | undefined {
  return VARIABLE.exec(value)?.[0];
}

/** Whether an external authorizer decides about a policy's requests. */
export function isCustom({ apiVersion, kind, spec }: TicketObject): boolean {
  return groupOf(apiVersion) === "security.istio.io" && kind === "AuthorizationPolicy" && spec?.["action"] === "CUSTOM";
}

/** Its name in the mesh config; empty where the policy has none. */
export function providerOf({ spec }: TicketObject): string {
  return String((spec?.["provider"] as { name?: unknown } | undefined)?.name ?? "");
}

/** Why an object is not in the cluster; undefined where it is. */
function whyLeftOut(object: TicketObject): LeftOut | undefined {
  const { kind, spec = {} } = object;
  const group = groupOf(object.apiVersion);
  if (group === "gateway.networking.x-k8s.io") return "gateway-api";
  if (group === GATEWAY_API_GROUP) return whyNotGateway(object);
  if (isIn(IRRELEVANT, object)) return isMeshConfig(object) ? undefined : "irrelevant";
  if (isIn(WORKLOADS, object)) return undefined;
  if (!isIn(APPLIED, object)) return group === "install.istio.io" ? undefined : "not-supported";
  if (isForEgress(object)) return "egress-gateway";
  if (targetsIn(object).some((target) => target.kind === "ServiceEntry")) return "target-ref";
  if (isCustom(object) && object.scripted !== true) return "external-authorizer";
  // A filter that calls another service, or that is downloaded, needs something that is not in the ticket.
  if (
    kind === "EnvoyFilter" &&
    /cluster|grpc_service|httpCall|uri:|filename|address/i.test(JSON.stringify(spec["configPatches"]))
  )
    return "not-supported";
  return undefined;
}

/** What a policy names in its targetRefs. */
export function targetsIn({ spec }: TicketObject): readonly PolicyTarget[] {
  return targetsOf({ spec });
}

/** Why an object of the Gateway API is not in the cluster. */
function whyNotGateway(object: TicketObject): LeftOut | undefined {
  const { kind, metadata, spec = {} } = object;
  // istiod makes both; a label on it is for all waypoints.
  if (
    kind === "GatewayClass" &&
    /^istio(-waypoint)?$/.test(metadata.name) &&
    metadata.labels?.[WAYPOINT_FOR] === undefined
  )
    return "irrelevant";
  if (!isIn(APPLIED, object)) return "gateway-api";
  if (kind !== "Gateway") return undefined;
  if (spec["gatewayClassName"] !== "istio" && !isWaypoint(object)) return "gateway-class";
  return spec["addresses"] === undefined ? undefined : "gateway-addresses";
}

/** Whether an object selects an egress gateway, or routes to one. */
function isForEgress({ kind, spec = {} }: TicketObject): boolean {
  const about =
    kind === "VirtualService" ? [spec["http"], spec["tls"], spec["tcp"]] : [spec["selector"], spec["workloadSelector"]];
  return /"(?:[^"]*[.-])?(?:istio-?)?egress-?gateway/.test(JSON.stringify(about));
}

/** Whether an object has mesh-wide settings, which mesh-settings.ts reads. */
function isMeshSetting(object: TicketObject): boolean {
  return groupOf(object.apiVersion) === "install.istio.io" || isMeshConfig(object);
}

/** Whether it is istiod's ConfigMap: `istio`, or `istio-<revision>`. */
export function isMeshConfig({ kind, metadata, apiVersion }: TicketObject): boolean {
  return (
    kind === "ConfigMap" &&
    groupOf(apiVersion) === "" &&
    /^istio(-|$)/.test(metadata.name) &&
    !/sidecar-injector/.test(metadata.name)
  );
}

/** The parts of the ticket's objects that are not applied. */
export function notUnderstood(objects: readonly TicketObject[]): Difference[] {
  return objects.flatMap((object): Difference[] => {
    const because = whyLeftOut(object);
    if (because !== undefined) {
      const { apiVersion } = object;
      return [
        {
          kind: "object-left-out",
          ...{ object: refOf(object), apiVersion, because },
          ...(because === "external-authorizer" && { provider: providerOf(object) }),
          decides: because === "irrelevant" ? "no" : "unknown",
        },
      ];
    }
    if (isMeshSetting(object)) return [];
    const fields = [
      ...unknownLabels(object),
      ...(isApplied(object)
        ? isOfGatewayApi(object, "Gateway") || isWaypoint(object)
          ? notServed(object)
          : []
        : unknownFields(object)),
    ];
    return fields.map((field) => ({ kind: "field-left-out", object: refOf(object), field, decides: "unknown" }));
  });
}

/** What waypoints.ts reads, where it counts. */
const AMBIENT_LABELS: readonly string[] = [USES, USES_NAMESPACE, INGRESS_USES, MODE];

/** Labels and annotations that change how the mesh treats an object and are not applied, and those that istiod or the injector sets; others are applied or have no effect. */
function unknownLabels(object: TicketObject): string[] {
  const { matchLabels = {} } = (object.spec?.["selector"] ?? {}) as { matchLabels?: object };
  const chosen = isPolicy(object) ? Object.keys(matchLabels).filter((key) => /(^|\.)istio\.io\//.test(key)) : [];
  const { labels = {}, annotations = {} } = object.metadata;
  const known =
    /^(istio-injection|istio\.io\/rev|sidecar\.istio\.io\/inject|networking\.istio\.io\/service-type|topology\.istio\.io\/|istio\.io\/dry-run)/;
  const all = { ...labels, ...annotations };
  // istiod reads them on pods, Services, namespaces and a waypoint's Gateway, and nowhere else.
  const read =
    isIn(WORKLOADS, object) && object.kind !== "ServiceAccount"
      ? AMBIENT_LABELS
      : isWaypoint(object)
        ? [WAYPOINT_FOR]
        : [];
  const own = Object.keys(all)
    .filter((key) => /istio\.io|ambient/.test(key) && !known.test(key) && !read.includes(key))
    .map((key) => `metadata: ${key}=${all[key]}`);
  const pod = (object.spec?.["template"] as { metadata?: Partial<TicketObject["metadata"]> } | undefined)?.metadata;
  const selected = chosen.map((key) => `spec.selector: ${key}`);
  return [...own, ...selected, ...(pod === undefined ? [] : unknownInPods(pod))];
}

/** Those of a pod template. A stand-in gets them; but it is not a gateway. */
function unknownInPods({ labels = {}, annotations = {} }: Partial<TicketObject["metadata"]>): string[] {
  const gateway =
    /ingress/.test(`${labels["istio"]} ${labels["app"]}`) ||
    /gateway/.test(annotations["inject.istio.io/templates"] ?? "");
  const all = { ...labels, ...annotations };
  return Object.keys(all)
    .filter(
      (key) =>
        (/^istio\.io\/.*use-waypoint/.test(key) && !AMBIENT_LABELS.includes(key)) ||
        (gateway && key === "proxy.istio.io/config"),
    )
    .map((key) => `spec.template.metadata: ${key}=${all[key]}`);
}

type Shape = { readonly [field: string]: true | Shape };

/** A field with `true` is read, or cannot change which requests reach the workload. */
const METADATA: Shape = { metadata: true, apiVersion: true, kind: true, status: true, data: true };

const CONTAINER: Shape = Object.fromEntries(
  [
    ...["name", "image", "imagePullPolicy", "command", "args", "workingDir", "env", "envFrom", "ports", "resources"],
    ...["volumeMounts", "livenessProbe", "readinessProbe", "startupProbe", "lifecycle", "terminationMessagePath"],
    ...["terminationMessagePolicy", "stdin", "tty", "volumeDevices"],
  ].map((field) => [field, true]),
);

const POD: Shape = {
  containers: { ...CONTAINER, securityContext: true },
  initContainers: true,
  ...Object.fromEntries(
    [
      ...["serviceAccountName", "serviceAccount", "volumes", "nodeSelector", "affinity", "tolerations"],
      ...["imagePullSecrets", "restartPolicy", "terminationGracePeriodSeconds", "securityContext", "nodeName"],
      ...["priorityClassName", "schedulerName", "topologySpreadConstraints", "automountServiceAccountToken"],
      ...["dnsPolicy", "enableServiceLinks", "hostname", "subdomain", "preemptionPolicy", "priority"],
    ].map((field) => [field, true]),
  ),
};

const REPLICAS: Shape = Object.fromEntries(
  [
    ...["replicas", "strategy", "updateStrategy", "selector", "minReadySeconds", "revisionHistoryLimit", "serviceName"],
    ...["progressDeadlineSeconds", "podManagementPolicy", "volumeClaimTemplates", "paused"],
  ].map((field) => [field, true]),
);

const SHAPES: Readonly<Record<string, Shape>> = {
  Namespace: { ...METADATA, spec: true },
  ServiceAccount: { ...METADATA, secrets: true, imagePullSecrets: true, automountServiceAccountToken: true },
  Service: {
    ...METADATA,
    spec: {
      selector: true,
      ports: { name: true, port: true, targetPort: true, protocol: true, appProtocol: true, nodePort: true },
      type: true,
      ...Object.fromEntries(
        [
          ...["clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "sessionAffinity", "internalTrafficPolicy"],
          // Only the sender's address depends on it, which is a difference of its own.
          ...["externalTrafficPolicy", "publishNotReadyAddresses", "sessionAffinityConfig"],
          ...["allocateLoadBalancerNodePorts", "loadBalancerIP", "healthCheckNodePort"],
        ].map((field) => [field, true]),
      ),
    },
  },
  Pod: { ...METADATA, spec: POD },
};

function unknownFields(object: TicketObject): string[] {
  const shape = SHAPES[object.kind] ?? { ...METADATA, spec: { ...REPLICAS, template: { metadata: true, spec: POD } } };
  const unknown = beyond(object, shape, "");
  const spec = podSpecOf(object);
  const users = [
    spec?.["securityContext"],
    ...((spec?.["containers"] ?? []) as { securityContext?: unknown }[]).map((one) => one.securityContext),
  ];
  // This is the proxy's uid: its traffic bypasses the sidecar.
  if (users.some((one) => (one as { runAsUser?: unknown } | undefined)?.runAsUser === 1337))
    unknown.push("securityContext.runAsUser");
  if (object.kind === "Service" && object.spec?.["type"] === "ExternalName") unknown.push("spec.type");
  return unknown;
}

/** The ticket's objects, and the fields that are still variables: of a shell, of Helm, or a name between angle brackets. */
export function valuesOf(objects: readonly TicketObject[]): {
  readonly objects: readonly TicketObject[];
  readonly differences: readonly Difference[];
} {
  const differences: Difference[] = [];
  const read = (object: TicketObject, value: unknown, path: string): unknown => {
    if (Array.isArray(value)) return value.map((inner, index) => read(object, inner, `${path}[${index}]`));
    if (typeof value === "object" && value !== null)
      return Object.fromEntries(
        Object.entries(value).map(([key, inner]) => [key, read(object, inner, path === "" ? key : `${path}.${key}`)]),
      );
    if (typeof value !== "string") return value;
    const text = openValueIn(value);
    if (text === undefined) return value;
    differences.push({ kind: "value-open", object: refOf(object), field: path, text, decides: "unknown" });
    // meshproof has variables of its own.
    return value.replaceAll("${", "$(");
  };
  const understood = (object: TicketObject): boolean =>
    !isIn(IRRELEVANT, object) && podSpecOf(object) === undefined && object.kind !== "EnvoyFilter";
  return {
    objects: objects.map((object) =>
      understood(object) ? { ...object, spec: read(object, object.spec, "spec") as TicketObject["spec"] } : object,
    ),
    differences,
  };
}

const VARIABLE = /\{\{[^}]*\}\}|\$\{[^}]*\}|\$\([A-Za-z_]\w*\)|^\$[A-Z_]{2,}$|<[A-Za-z][\w .-]*>/;

export function podSpecOf({ kind, spec = {} }: TicketObject): Readonly<Record<string, unknown>> | undefined {
  if (kind === "Pod") return spec;
  return (spec["template"] as { spec?: Record<string, unknown> } | undefined)?.spec;
}

function beyond(value: unknown, shape: Shape | true, path: string): string[] {
  if (shape === true) return [];
  if (Array.isArray(value)) return value.flatMap((inner, index) => beyond(inner, shape, `${path}[${index}]`));
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const place = path === "" ? key : `${path}.${key}`;
    const known = shape[key];
    return known === undefined ? [place] : beyond(inner, known, place);
  });
}
