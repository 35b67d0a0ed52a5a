/** The names of what requests go to. */

import { ROOT_NAMESPACE } from "./cluster.ts";

/** URL of the ingress gateway for a pod without a sidecar (the first HTTP port of its Service). */
export const INGRESS_URL = `http://istio-ingressgateway.${ROOT_NAMESPACE}.svc.cluster.local`;

/** The API group of the Gateway API. */
export const GATEWAY_API_GROUP = "gateway.networking.k8s.io";

/** Whether an object is of the Gateway API; Istio has a kind `Gateway` too. */
export function isOfGatewayApiGroup({ apiVersion }: { readonly apiVersion: string }): boolean {
  return apiVersion.startsWith(`${GATEWAY_API_GROUP}/`);
}

/** A Gateway of the Gateway API, and one of its listeners; without one, its first. */
export interface GatewayTarget {
  readonly name: string;
  readonly listener?: string;
}

/** `gateway/<name>`, or `gateway/<name>/<listener>`. */
export function gatewayIn(to: string): GatewayTarget | undefined {
  const [, name, listener] = /^gateway\/([^/]+)(?:\/([^/]+))?$/.exec(to) ?? [];
  return name === undefined ? undefined : { name, ...(listener !== undefined && { listener }) };
}

/** `waypoint/<name>`. */
export function waypointIn(through: string): string | undefined {
  return /^waypoint\/([^/]+)$/.exec(through)?.[1];
}

/** A way to a workload: what requests go to, and the waypoint that they must pass, if any. */
export interface Way {
  readonly to: string;
  readonly through?: string | undefined;
}

/** One text for each way; also what a person reads. */
export function nameWay({ to, through }: Way): string {
  return through === undefined ? to : `${to} through ${through}`;
}

/** Whether it is a gateway, of either kind: any workload may be behind it. */
export function isGateway(to: string): boolean {
  return to === "ingress" || gatewayIn(to) !== undefined;
}

/** A listener of a Gateway of the Gateway API. */
export interface Listener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
}

/** How requests reach a listener. */
export interface Reached {
  readonly url: string;
  readonly connectTo?: string;
  readonly port: number;
}

/** @param service the Gateway's, `name.namespace` */
export function reachedAt(service: string, { port, protocol, hostname }: Listener): Reached {
  const scheme = protocol === "HTTPS" ? "https" : "http";
  const colon = port === (scheme === "https" ? 443 : 80) ? "" : `:${port}`;
  // Envoy chooses an HTTPS listener by its SNI.
  if (scheme === "http" || hostname === undefined || hostname.startsWith("*"))
    return { url: `${scheme}://${service}${colon}`, port };
  return { url: `${scheme}://${hostname}${colon}`, connectTo: `${service}:${port}`, port };
}
