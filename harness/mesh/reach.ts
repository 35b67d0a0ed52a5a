/** How far an object reaches on a cluster that is somebody else's. Whatever is not known to stay within the run does not. */

import { groupOf } from "./journal.ts";
import type { Manifest } from "./client.ts";

/** Why an object must not be applied: `mesh` with the flag `--allow-mesh-wide` it may, `never` not even then. */
export interface Reach {
  readonly permitted: "mesh" | "never";
  /** A sentence. */
  readonly why: string;
}

type Rule = (manifest: Manifest, own: ReadonlySet<string>) => Reach | undefined;

const inside: Rule = () => undefined;

/**
 * The kinds that a run may create, by API group; each but Namespace is namespaced. A kind that is not here may be cluster-scoped,
 * may hook into every request, or nobody has thought about it.
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
    Gateway: (manifest) => meshWide(manifest, "opens the mesh's own gateway"),
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
    // istiod makes a Service of the type LoadBalancer for each.
    Gateway: (manifest) => meshWide(manifest, "makes a gateway with a load balancer"),
    HTTPRoute: routeReach,
    GRPCRoute: routeReach,
    TCPRoute: routeReach,
    TLSRoute: routeReach,
  },
};

/**
 * How an object reaches beyond the run's own namespaces; undefined where it does not.
 * @param own the run's own namespaces, as the manifest names them
 */
export function reachOf(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  const { apiVersion, kind, metadata } = manifest;
  const group = groupOf(apiVersion);
  const kinds = Object.hasOwn(KINDS, group) ? KINDS[group] : undefined;
  const rule = kinds !== undefined && Object.hasOwn(kinds, kind) ? kinds[kind] : undefined;
  if (rule === undefined)
    return never(
      manifest,
      `is of the kind ${kind}${group === "" ? "" : `.${group}`}, which a run does not create on a cluster that exists`,
    );
  if ((metadata.finalizers ?? []).length > 0)
    return never(manifest, "has finalizers, which may keep it from being removed");
  if ((metadata.ownerReferences ?? []).length > 0) return never(manifest, "has ownerReferences");
  // What is never permitted is said before what a flag permits.
  const ruled = rule(manifest, own);
  if (ruled?.permitted === "never" || kind === "Namespace") return ruled;
  if (metadata.namespace === undefined)
    return meshWide(manifest, "names no namespace, so it is applied to the context's");
  if (!own.has(metadata.namespace)) return meshWide(manifest, `is applied to ${metadata.namespace}, where others work`);
  return ruled;
}

function never({ kind, metadata }: Manifest, what: string): Reach {
  return { permitted: "never", why: `${kind} ${metadata.name} ${what}` };
}

function meshWide({ kind, metadata }: Manifest, what: string): Reach {
  return { permitted: "mesh", why: `${kind} ${metadata.name} ${what}` };
}

function namespaceReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  return own.has(manifest.metadata.name) ? undefined : never(manifest, "is not the run's own");
}

function serviceReach(manifest: Manifest): Reach | undefined {
  const { type = "ClusterIP", externalIPs, loadBalancerIP } = fieldsOf(manifest["spec"]);
  if (type !== "ClusterIP" && type !== "ExternalName") return never(manifest, `is of the type ${String(type)}`);
  if (hasAny(externalIPs)) return never(manifest, "has externalIPs, which takes the traffic to these addresses");
  return loadBalancerIP ? never(manifest, "has a loadBalancerIP") : undefined;
}

function templateReach(manifest: Manifest): Reach | undefined {
  return podReach(manifest, fieldsOf(fieldsOf(manifest["spec"])["template"])["spec"]);
}

/** What a pod must not ask for: the node's namespaces, files and ports, more rights than a container has, the place of others. */
function podReach(manifest: Manifest, spec: unknown): Reach | undefined {
  const pod = fieldsOf(spec);
  for (const field of ["hostNetwork", "hostPID", "hostIPC"]) if (pod[field]) return never(manifest, `has ${field}`);
  for (const field of ["nodeName", "priorityClassName", "priority"])
    if (pod[field]) return never(manifest, `has ${field}, which may take the place of others' pods`);
  for (const volume of listOf(pod["volumes"])) {
    const { name, ...source } = fieldsOf(volume);
    const other = Object.keys(source).find((key) => !OWN_VOLUMES.has(key));
    if (other !== undefined) return never(manifest, `has the volume ${String(name)} of the type ${other}`);
  }
  for (const container of ["containers", "initContainers", "ephemeralContainers"].flatMap((key) => listOf(pod[key]))) {
    const { name, securityContext, ports } = fieldsOf(container);
    const { privileged, capabilities } = fieldsOf(securityContext);
    if (privileged) return never(manifest, `has the privileged container ${String(name)}`);
    if (hasAny(fieldsOf(capabilities)["add"]))
      return never(manifest, `adds capabilities to the container ${String(name)}`);
    if (listOf(ports).some((port) => fieldsOf(port)["hostPort"])) return never(manifest, "has a hostPort");
  }
  return undefined;
}

/** Volumes that hold nothing of the node and nothing that outlives the pod. */
const OWN_VOLUMES = new Set(["emptyDir", "configMap", "secret", "projected", "downwardAPI"]);

/** Every proxy of the mesh gets these unless `exportTo` says otherwise (Istio, networking reference). */
function exportedReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  const exportTo = listOf(fieldsOf(manifest["spec"])["exportTo"]);
  const kept = exportTo.length > 0 && exportTo.every((to) => to === "." || own.has(String(to)));
  return kept ? undefined : meshWide(manifest, "is exported to every namespace");
}

function routeReach(manifest: Manifest, own: ReadonlySet<string>): Reach | undefined {
  for (const parent of listOf(fieldsOf(manifest["spec"])["parentRefs"])) {
    const { kind = "Gateway", name, namespace } = fieldsOf(parent);
    if (namespace !== undefined && !own.has(String(namespace)))
      return meshWide(
        manifest,
        `is attached to the ${String(kind)} ${String(namespace)}/${String(name)}, where others work`,
      );
  }
  return undefined;
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
