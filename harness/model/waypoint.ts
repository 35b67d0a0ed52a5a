/** The labels that choose ambient mode and waypoints (istio.io, "Configure waypoint proxies"; pilot/pkg/serviceregistry/ambient/waypoints.go). */

import { isOfGatewayApiGroup } from "./target.ts";

/** On what uses a waypoint, or on its namespace. */
export const USES = "istio.io/use-waypoint";
export const USES_NAMESPACE = "istio.io/use-waypoint-namespace";

/** On a Service, or its namespace: gateways send through its waypoint too. */
export const INGRESS_USES = "istio.io/ingress-use-waypoint";

/** On a waypoint's Gateway: `service` by default. */
export const WAYPOINT_FOR = "istio.io/waypoint-for";

/** On a pod, or its namespace: `ambient` or `none`. */
export const MODE = "istio.io/dataplane-mode";

export const WAYPOINT_CLASS = "istio-waypoint";

/** The port of HBONE. */
export const HBONE_PORT = 15008;

/** Whether an object is a Gateway that istiod makes a waypoint for. */
export function isWaypoint(object: {
  readonly apiVersion: string;
  readonly kind: string;
  readonly spec?: Readonly<Record<string, unknown>>;
}): boolean {
  const { kind, spec } = object;
  return kind === "Gateway" && isOfGatewayApiGroup(object) && spec?.["gatewayClassName"] === WAYPOINT_CLASS;
}

/** Why a request does not pass a waypoint. */
export type Bypass =
  /** Neither the Service nor its namespace has the label. */
  | "no-label"
  /** The label is `none`. */
  | "opted-out"
  /** The label names a Gateway that is not there. */
  | "no-such-waypoint"
  /** The waypoint is for workloads, or for nothing. */
  | "not-for-services"
  /** Its listener does not allow the Service's namespace. */
  | "not-allowed"
  /** A client with a sidecar, a client outside of the mesh, a gateway without `ingress-use-waypoint`. */
  | "sidecar"
  | "outside"
  | "gateway";
