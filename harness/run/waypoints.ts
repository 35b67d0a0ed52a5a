/** What uses a waypoint: the Services whose requests istiod sends through it. */

import type { KubernetesObject } from "@kubernetes/client-node";
import { messageOf } from "../mesh/api-error.ts";
import type { Kube } from "../mesh/client.ts";
import { readyPods, waitFor } from "../mesh/wait.ts";
import { MeshproofError } from "../model/errors.ts";
import { GATEWAY_API_GROUP } from "../model/target.ts";
import { HBONE_PORT, USES, USES_NAMESPACE } from "../model/waypoint.ts";
import { GATEWAY_NAME, type Served } from "../verdict/attachment.ts";
import { untilClusters, type ClusterStatus } from "./clusters.ts";
import type { Proxy } from "./places.ts";

const NONE = "none";

/** The kinds that a policy at a waypoint may be for. */
const KINDS = [
  ["v1", "Service"],
  ["networking.istio.io/v1", "ServiceEntry"],
] as const;

/** A Service or ServiceEntry, and the waypoint of its namespace that it uses. */
interface User extends Served {
  readonly waypoint: string;
}

/** The Services and ServiceEntries of a namespace that use a waypoint of this namespace. */
export async function servedBy(
  kube: Pick<Kube, "core" | "objects">,
  namespace: string,
  name: string,
): Promise<Served[]> {
  const users = await usersIn(kube, namespace);
  return users.flatMap(({ waypoint, ...served }) => (waypoint === name ? [served] : []));
}

async function usersIn({ core, objects }: Pick<Kube, "core" | "objects">, namespace: string): Promise<User[]> {
  const [own, ...lists] = await Promise.all([
    core.readNamespace({ name: namespace }),
    ...KINDS.map(async ([apiVersion, kind]) => {
      const { items } = await objects.list<KubernetesObject>(apiVersion, kind, namespace);
      return items.map(({ metadata }) => ({ kind, name: metadata?.name ?? "", labels: metadata?.labels ?? {} }));
    }),
  ]);
  return lists.flat().flatMap(({ kind, name, labels }) => {
    // A label of its own counts, `none` too, and not the namespace's.
    const from = labels[USES] === undefined ? (own.metadata?.labels ?? {}) : labels;
    const waypoint = from[USES];
    return waypoint !== undefined && waypoint !== NONE && (from[USES_NAMESPACE] ?? namespace) === namespace
      ? [{ kind, namespace, name, waypoint }]
      : [];
  });
}

interface Conditioned extends KubernetesObject {
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Waits until istiod sends requests to a waypoint: until it is programmed, they pass it by (pilot/pkg/serviceregistry/ambient/waypoints.go). */
export async function waypointProgrammed(kube: Kube, namespace: string, name: string): Promise<void> {
  const path = `/apis/${GATEWAY_API_GROUP}/v1/namespaces/${namespace}/gateways`;
  const now = await kube.objects.get<Conditioned>(`${path}/${name}`).catch((cause: unknown) => {
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      `there is no Gateway ${namespace}/${name} for a waypoint: ${messageOf(cause)}`,
      { cause },
    );
  });
  if (isProgrammed(now)) return;
  await waitFor<Conditioned, true>(
    kube,
    path,
    { fieldSelector: `metadata.name=${name}` },
    (gateways) => gateways.values().some(isProgrammed) || undefined,
    {
      limitMs: 30_000,
      code: "ERR_WORKLOAD_NOT_READY",
      explain: () => `the waypoint ${namespace}/${name} is not programmed`,
    },
  );
}

/** Waits until gateways have the pods of a waypoint as healthy endpoints: istiod says so after the pods are ready, and until then they answer 503. */
export async function untilSentThrough(
  kube: Kube,
  gateways: readonly Proxy[],
  waypoint: readonly Proxy[],
  limitMs?: number,
): Promise<void> {
  const served = waypoint.flatMap(({ serves = [] }) => serves);
  const wanted = waypoint.map(({ ip }) => `${ip}:${HBONE_PORT}`);
  await untilEndpoints(kube, gateways, served, (healthy) => wanted.every((one) => healthy.includes(one)), limitMs);
}

/** Waits until gateways have no pod of a namespace's waypoints that is gone: a request that is sent there gets the answer of a pod that ends, or none. */
export async function untilNoneIsGone(
  kube: Kube,
  gateways: readonly Proxy[],
  namespace: string,
  limitMs?: number,
): Promise<void> {
  if (!gateways.some(({ kind }) => kind === "gateway")) return;
  const users = await usersIn(kube, namespace);
  const waypoints = [...new Set(users.map(({ waypoint }) => waypoint))];
  const noneIsGone = async (healthy: readonly string[]): Promise<boolean> => {
    if (healthy.length === 0) return true;
    const pods = await readyPods(kube, namespace, `${GATEWAY_NAME} in (${waypoints.join(",")})`);
    const there = pods.map(({ status }) => `${status?.podIP}:${HBONE_PORT}`);
    return healthy.every((one) => there.includes(one));
  };
  await untilEndpoints(kube, gateways, users, noneIsGone, limitMs);
}

/** Waits until the waypoints' endpoints that gateways have for Services are as demanded, or the limit is over. */
async function untilEndpoints(
  kube: Kube,
  gateways: readonly Proxy[],
  served: readonly Served[],
  demanded: (healthy: readonly string[]) => boolean | Promise<boolean>,
  limitMs?: number,
): Promise<void> {
  const services = served.filter(({ kind }) => kind === "Service");
  const names = [...new Set(services.map(({ name, namespace }) => `${name}.${namespace}`))];
  if (names.length === 0) return;
  await untilClusters(
    kube,
    gateways.filter(({ kind }) => kind === "gateway"),
    `\\|(${names.join("|")})\\.`,
    (clusters) => demanded(clusters.flatMap(healthyIn)),
    limitMs,
  );
}

/** The waypoints' pods, which are behind an internal listener. */
function healthyIn({ host_statuses: hosts = [] }: ClusterStatus): string[] {
  return hosts.flatMap(({ address, health_status: health }) =>
    health?.eds_health_status === "HEALTHY" ? (address?.envoy_internal_address?.endpoint_id ?? []) : [],
  );
}

/** Waits until a proxy has found the address behind a cluster that it looks up by DNS. */
export async function untilResolved(kube: Kube, proxy: Proxy, cluster: string): Promise<void> {
  await untilClusters(kube, [proxy], `^${cluster}$`, (clusters) =>
    clusters.some(({ host_statuses: hosts = [] }) => hosts.length > 0),
  );
}

function isProgrammed({ status }: Conditioned): boolean {
  return status?.conditions?.some((one) => one.type === "Programmed" && one.status === "True") === true;
}
