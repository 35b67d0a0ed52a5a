import type { V1Container, V1ObjectFieldSelector, V1Pod, V1ResourceFieldSelector } from "@kubernetes/client-node";
import { parseQuantity } from "./quantity.ts";

/** Values of the downward API besides the pod's own object. */
export interface PodFacts {
  readonly podIp: string;
  readonly hostIp: string;
  readonly nodeName: string;
  /** What a container without a limit may use: the node's allocatable `cpu` and `memory` as plain numbers. */
  readonly allocatable: Readonly<Record<string, number>>;
}

/**
 * The value of a `fieldRef` (Kubernetes: Downward API, available fields).
 * @throws Error if the path is not one of them.
 */
export function readField(pod: V1Pod, facts: PodFacts, { fieldPath }: V1ObjectFieldSelector): string {
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(fieldPath);
  if (subscript) return pod.metadata?.[subscript[1] as "labels" | "annotations"]?.[subscript[2] ?? ""] ?? "";
  switch (fieldPath) {
    case "metadata.name":
      return pod.metadata?.name ?? "";
    case "metadata.namespace":
      return pod.metadata?.namespace ?? "";
    case "metadata.uid":
      return pod.metadata?.uid ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata?.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata?.annotations);
    case "spec.nodeName":
      return facts.nodeName;
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "default";
    case "status.podIP":
    case "status.podIPs":
      return facts.podIp;
    case "status.hostIP":
    case "status.hostIPs":
      return facts.hostIp;
    default:
      throw new Error(`unsupported fieldPath: ${fieldPath}`);
  }
}

/**
 * The value of a `resourceFieldRef`: the quantity divided by the divisor, rounded up; a missing limit is the node's
 * allocatable, a missing request is the limit (Kubernetes: resource fields of the Downward API).
 * @throws Error if container or resource do not exist.
 */
export function readResource(pod: V1Pod, facts: PodFacts, ref: V1ResourceFieldSelector, own?: V1Container): string {
  const container = ref.containerName
    ? [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].find((c) => c.name === ref.containerName)
    : own;
  const [kind, name] = ref.resource.split(".", 2) as [string, string | undefined];
  if (!container || !name || (kind !== "limits" && kind !== "requests"))
    throw new Error(`unsupported resourceFieldRef: ${ref.containerName ?? ""} ${ref.resource}`);
  const { limits, requests } = container.resources ?? {};
  const declared = kind === "limits" ? limits?.[name] : (requests?.[name] ?? limits?.[name]);
  const value =
    declared === undefined ? (kind === "limits" ? (facts.allocatable[name] ?? 0) : 0) : parseQuantity(declared);
  const divisor = parseQuantity(ref.divisor ?? 1) || 1;
  return String(Math.ceil(Number((value / divisor).toFixed(9))));
}

/** `key="value"` lines in order, as `fieldpath.FormatMap` of Kubernetes writes labels and annotations. */
function formatMap(map: Readonly<Record<string, string>> = {}): string {
  return Object.entries(map)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}
