/** The Gateway API: its CRDs, and whether a cluster has it. */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { GATEWAY_API_GROUP } from "../model/target.ts";
import { WAYPOINT_CLASS } from "../model/waypoint.ts";
import type { Kube, Manifest } from "./client.ts";

/**
 * The CRDs, as the Gateway API publishes them (tools/gateway-api.ts). Only for clusters that meshproof makes: on others they are left as
 * they are.
 */
export async function gatewayApiCrds(): Promise<Manifest[]> {
  const text = await readFile(path.join(import.meta.dirname, "gateway-api.json"), "utf8");
  return (JSON.parse(text) as { readonly crds: Manifest[] }).crds;
}

/** The version of the CRDs (`v1.6.0`); undefined where there are none, or this user may not see them. */
export async function gatewayApiVersion({ objects }: Pick<Kube, "objects">): Promise<string | undefined> {
  const name = `gateways.${GATEWAY_API_GROUP}`;
  const path = `/apis/apiextensions.k8s.io/v1/customresourcedefinitions/${name}`;
  const crd = await objects.get<Manifest>(path).catch(() => undefined);
  return crd && (crd.metadata.annotations?.[`${GATEWAY_API_GROUP}/bundle-version`] ?? "unknown");
}

interface GatewayClass {
  readonly spec?: { readonly controllerName?: string };
  readonly status?: { readonly conditions?: readonly { readonly type: string; readonly status: string }[] };
}

/** Whether istiod has accepted its class for gateways: on a mesh of others its controller may be off, or the class another one's. */
export async function hasGatewayClass(kube: Pick<Kube, "objects">): Promise<boolean> {
  return await isAccepted(kube, "istio", "istio.io/gateway-controller");
}

/** Whether istiod has accepted its class for waypoints. */
export async function hasWaypointClass(kube: Pick<Kube, "objects">): Promise<boolean> {
  return await isAccepted(kube, WAYPOINT_CLASS, "istio.io/mesh-controller");
}

async function isAccepted({ objects }: Pick<Kube, "objects">, name: string, controller: string): Promise<boolean> {
  const path = `/apis/${GATEWAY_API_GROUP}/v1/gatewayclasses/${name}`;
  const found = await objects.get<GatewayClass>(path).catch(() => undefined);
  return (
    found?.spec?.controllerName === controller &&
    (found.status?.conditions ?? []).some(({ type, status }) => type === "Accepted" && status === "True")
  );
}
