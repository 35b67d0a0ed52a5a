/** The names of what requests go to. */

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
