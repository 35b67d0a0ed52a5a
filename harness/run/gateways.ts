/** Gateways of the Gateway API: istiod makes a Deployment and a Service for each (istio.io, "Kubernetes Gateway API", automated deployment). */

import type { KubernetesObject, V1ConfigMap, V1Deployment, V1Pod } from "@kubernetes/client-node";
import { parse } from "yaml";
import { messageOf } from "../mesh/api-error.ts";
import type { Kube, Manifest } from "../mesh/client.ts";
import { waitFor } from "../mesh/wait.ts";
import { MeshproofError } from "../model/errors.ts";
import {
  GATEWAY_API_GROUP,
  isOfGatewayApiGroup,
  reachedAt,
  type GatewayTarget,
  type Listener,
  type Reached,
} from "../model/target.ts";
import { WAYPOINT_CLASS } from "../model/waypoint.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";

/** The fields of a Gateway that say how it is reached. */
interface GatewaySpec {
  readonly gatewayClassName?: string;
  /** What serves it already; then istiod makes nothing. */
  readonly addresses?: readonly unknown[];
  readonly listeners?: readonly Listener[];
  readonly infrastructure?: { readonly parametersRef?: { readonly kind?: string; readonly name?: string } };
}

/** What istiod calls the Deployment of a Gateway, by the Gateway's class (istio.io, "Automated deployment"; for waypoints the name alone). */
const DEPLOYMENTS: Readonly<Record<string, (gateway: string) => string>> = {
  istio: (gateway) => `${gateway}-istio`,
  [WAYPOINT_CLASS]: (gateway) => gateway,
};

/** The Deployment that a manifest makes or has made by istiod; undefined for any other kind, and for a Gateway that something else serves. */
export function deploymentOf(manifest: Manifest): string | undefined {
  const { kind, metadata, spec } = manifest;
  if (kind === "Deployment") return metadata.name;
  if (kind !== "Gateway" || !isOfGatewayApiGroup(manifest)) return undefined;
  const { gatewayClassName = "", addresses = [] } = (spec ?? {}) as GatewaySpec;
  return addresses.length === 0 ? DEPLOYMENTS[gatewayClassName]?.(metadata.name) : undefined;
}

/**
 * How many pods a Gateway demands by its ConfigMap of parameters (istio.io, "Customizing automated deployments"); undefined where it
 * does not say. istiod writes it into the Deployment a moment after the change.
 */
export function replicasOf({ metadata, spec }: Manifest, objects: readonly Manifest[]): number | undefined {
  const { kind, name } = ((spec ?? {}) as GatewaySpec).infrastructure?.parametersRef ?? {};
  const parameters = objects.find(
    (one) =>
      kind === "ConfigMap" &&
      one.kind === kind &&
      one.metadata.name === name &&
      one.metadata.namespace === metadata.namespace,
  );
  const { deployment } = (parameters as V1ConfigMap | undefined)?.data ?? {};
  if (deployment === undefined) return undefined;
  const overlay = parse(deployment) as V1Deployment | null;
  return overlay?.spec?.replicas;
}

/** Where a listener of a Gateway takes requests; the first port of the Service that istiod makes is not a listener's. */
export async function reachGateway(
  kube: Pick<Kube, "objects">,
  namespace: string,
  { name, listener: wanted }: GatewayTarget,
): Promise<Reached> {
  const object = { apiVersion: `${GATEWAY_API_GROUP}/v1`, kind: "Gateway", metadata: { namespace, name } };
  const { spec } = await kube.objects
    .read<KubernetesObject & { readonly spec?: GatewaySpec }>(object)
    .catch((cause: unknown) => {
      throw new MeshproofError(
        "ERR_SCENARIO_INVALID",
        `there is no Gateway ${namespace}/${name} to send to: ${messageOf(cause)}`,
        { cause },
      );
    });
  const { listeners = [] } = spec ?? {};
  const listener = listeners.find((one) => wanted === undefined || one.name === wanted);
  if (listener === undefined)
    throw new MeshproofError(
      "ERR_SCENARIO_INVALID",
      `the Gateway ${namespace}/${name} has no listener ${wanted ?? ""}`,
      { hint: `it has ${listeners.map((one) => one.name).join(", ")}` },
    );
  return reachedAt(`${name}-istio.${namespace}`, listener);
}

/** Waits until no pod of a deleted Gateway takes requests any more: the garbage collector deletes what istiod has made. */
export async function gatewayGone(kube: Kube, namespace: string, name: string): Promise<void> {
  await waitFor<V1Pod, true>(
    kube,
    `/api/v1/namespaces/${namespace}/pods`,
    {},
    (pods) =>
      [...pods.values()].every(
        ({ metadata }) => metadata?.labels?.[GATEWAY_NAME] !== name || metadata.deletionTimestamp !== undefined,
      ) || undefined,
    {
      limitMs: 30_000,
      code: "ERR_WORKLOAD_NOT_READY",
      explain: () => `the pods of the deleted Gateway ${namespace}/${name} are still there`,
    },
  );
}
