/** How far an object reaches on an existing cluster. An object is taken to reach beyond the run unless it is known that it does not. */

import { groupOf } from "./journal.ts";
import type { Beyond, Reach } from "../model/finding.ts";
import { WAYPOINT_CLASS } from "../model/waypoint.ts";
import type { Manifest } from "./client.ts";

type Rule = (manifest: Manifest, own: ReadonlySet<string>) => Reach | undefined;

const inside: Rule = () => undefined;

/**
 * The kinds that a run may create, by API group; all but Namespace are namespaced. A kind that is not here may be cluster-scoped,
 * may affect every request, or has not been reviewed.
 */
const KINDS: Readonly<Record<string, Readonly<Record<string, Rule>>>> = {
  "": {
    Namespace: namespaceReach,
    Service: serviceReach,
    ServiceAccount: inside,
    ConfigMap: inside,
    Secret: inside,
    Pod: (manifest) => podReach(manifest, manifest["spec"]),
  },
  apps: { Deployment: templateReach, StatefulSet: templateReach },
  "security.istio.io": { AuthorizationPolicy: inside, RequestAuthentication: inside, PeerAuthentication: inside },
  "networking.istio.io": {
    Gateway: (manifest) => meshWide(manifest, { kind: "mesh-gateway" }),
    VirtualService: exportedReach,
    DestinationRule: exportedReach,
    ServiceEntry: exportedReach,
    Sidecar: inside,
    EnvoyFilter: inside,
    WorkloadEntry: inside,
    WorkloadGroup: inside,
    ProxyConfig: inside,
  },
  "telemetry.istio.io": { Telemetry: inside },
  "extensions.istio.io": { WasmPlugin: inside },
  "gateway.networking.k8s.io": {
    Gateway: gatewayReach,
    HTTPRoute: routeReach,
    GRPCRoute: routeReach,
    TCPRoute: routeReach,
    TLSRoute: routeReach,
    ReferenceGrant: inside,
  },
};

/**
 * How an object reaches beyond the run's own namespaces; undefined if it does not.
 * @param own the run's own namespaces, in the notation of the manifest
 */
export function reachOf(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  const { apiVersion, kind, metadata } = manifest;
  const group = groupOf(apiVersion);
  const kinds = Object.hasOwn(KINDS, group) ? KINDS[group] : undefined;
  const rule = kinds !== undefined && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (rule === undefined) return never(manifest, { kind: "kind", group });
  if ((metadata.finalizers ?? []).length > 0) return never(manifest, { kind: "finalizers" });
  if ((metadata.ownerReferences ?? []).length > 0) return never(manifest, { kind: "owner-references" });
  // A reach that is never permitted is reported before one that a flag permits.
  const ruled = rule(manifest, own);
  if (ruled?.permitted === "never" || kind === "Namespace") return ruled;
  if (metadata.namespace === undefined) return meshWide(manifest, { kind: "no-namespace" });
  if (!own.has(metadata.namespace)) return meshWide(manifest, { kind: "namespace", namespace: metadata.namespace });
  return ruled;
}

function never({ kind, metadata: { name } }: Manifest, beyond: Beyond): Reach {
  return { permitted: "never", object: { kind, name }, beyond };
}

function meshWide({ kind, metadata: { name } }: Manifest, beyond: Beyond): Reach {
  return { permitted: "mesh", object: { kind, name }, beyond };
}

function namespaceReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  return own.has(manifest.metadata.name) ? undefined : never(manifest, { kind: "other-namespace" });
}

function serviceReach(manifest: Manifest): Reach | undefined {
  const { type = "ClusterIP", externalIPs, loadBalancerIP } = fieldsOf(manifest["spec"]);
  if (type !== "ClusterIP" && type !== "ExternalName")
    return never(manifest, { kind: "service-type", type: String(type) });
  if (hasAny(externalIPs)) return never(manifest, { kind: "external-ips" });
  return loadBalancerIP ? never(manifest, { kind: "load-balancer-ip" }) : undefined;
}

function templateReach(manifest: Manifest): Reach | undefined {
  return podReach(manifest, fieldsOf(fieldsOf(manifest["spec"])["template"])["spec"]);
}

/** Fields that a pod must not have: the node's namespaces, files and ports, more privileges, or priority over other pods. */
function podReach(manifest: Manifest, spec: unknown): Reach | undefined {
  const pod = fieldsOf(spec);
  for (const field of ["hostNetwork", "hostPID", "hostIPC"])
    if (pod[field]) return never(manifest, { kind: "host-field", field });
  for (const field of ["nodeName", "priorityClassName", "priority"])
    if (pod[field]) return never(manifest, { kind: "place-field", field });
  for (const volume of listOf(pod["volumes"])) {
    const { name, ...source } = fieldsOf(volume);
    const other = Object.keys(source).find((key) => !OWN_VOLUMES.has(key));
    if (other !== undefined) return never(manifest, { kind: "volume", volume: String(name), type: other });
  }
  for (const container of ["containers", "initContainers", "ephemeralContainers"].flatMap((key) => listOf(pod[key]))) {
    const { name, securityContext, ports } = fieldsOf(container);
    const { privileged, capabilities } = fieldsOf(securityContext);
    if (privileged) return never(manifest, { kind: "privileged", container: String(name) });
    if (hasAny(fieldsOf(capabilities)["add"]))
      return never(manifest, { kind: "capabilities", container: String(name) });
    if (listOf(ports).some((port) => fieldsOf(port)["hostPort"])) return never(manifest, { kind: "host-port" });
  }
  return undefined;
}

/** Volume types that contain nothing of the node and that are removed with the pod. */
const OWN_VOLUMES = new Set(["emptyDir", "configMap", "secret", "projected", "downwardAPI"]);

/** Every proxy of the mesh gets these objects unless `exportTo` limits them (Istio, networking reference). */
function exportedReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  const exportTo = listOf(fieldsOf(manifest["spec"])["exportTo"]);
  const kept = exportTo.length > 0 && exportTo.every((to) => to === "." || own.has(String(to)));
  return kept ? undefined : meshWide(manifest, { kind: "exported" });
}

function routeReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  for (const parent of listOf(fieldsOf(manifest["spec"])["parentRefs"])) {
    const { kind = "Gateway", name, namespace } = fieldsOf(parent);
    if (namespace !== undefined && !own.has(String(namespace)))
      return meshWide(manifest, {
        kind: "attached",
        parent: { kind: String(kind), namespace: String(namespace), name: String(name) },
      });
  }
  return undefined;
}

/**
 * istiod makes a Service of the type LoadBalancer for each but waypoints, unless the Gateway says otherwise; one with addresses is
 * served by what is there.
 */
function gatewayReach(manifest: Manifest): Reach | undefined {
  const { addresses, gatewayClassName } = fieldsOf(manifest["spec"]);
  if (hasAny(addresses)) return meshWide(manifest, { kind: "mesh-gateway" });
  if (gatewayClassName === WAYPOINT_CLASS) return undefined;
  const type = manifest.metadata.annotations?.["networking.istio.io/service-type"];
  return type === "ClusterIP" ? undefined : meshWide(manifest, { kind: "load-balancer" });
}

function fieldsOf(value: unknown): Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function hasAny(value: unknown): boolean {
  return listOf(value).length > 0;
}
