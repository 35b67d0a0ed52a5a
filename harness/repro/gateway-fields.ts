/** The fields of Gateways of the Gateway API that may decide and cannot be had here. */

import { HBONE_PORT, isWaypoint } from "../model/waypoint.ts";
import type { TicketObject } from "./ticket.ts";

/** What of a Gateway may decide and cannot be had here. */
export function notServed(object: TicketObject): string[] {
  const { spec = {} } = object;
  const infrastructure = (spec["infrastructure"] ?? {}) as { parametersRef?: unknown; annotations?: object };
  const waypoint = isWaypoint(object);
  const listeners = (spec["listeners"] ?? []) as {
    name: string;
    port?: number;
    protocol: string;
    tls?: object;
    allowedRoutes?: { namespaces?: { from?: string } };
  }[];
  const known = ({ protocol, port, allowedRoutes }: (typeof listeners)[number]): boolean =>
    waypoint
      ? protocol === "HBONE" && port === HBONE_PORT && allowedRoutes?.namespaces?.from !== "Selector"
      : /^HTTPS?$/.test(protocol);
  return [
    ...(waypoint && listeners.length !== 1 ? ["spec.listeners"] : []),
    ...(infrastructure.parametersRef === undefined ? [] : ["spec.infrastructure.parametersRef"]),
    ...Object.keys(infrastructure.annotations ?? {})
      .filter((name) => name.includes("istio.io"))
      .map((name) => `spec.infrastructure.annotations: ${name}`),
    ...listeners.flatMap((listener) => [
      ...(known(listener) ? [] : [`the listener ${listener.name} (${listener.protocol})`]),
      ...Object.keys(listener.tls ?? {})
        .filter((field) => !["mode", "certificateRefs"].includes(field))
        .map((field) => `tls.${field} of the listener ${listener.name}`),
    ]),
    ...Object.keys(spec).flatMap((field) =>
      ["gatewayClassName", "listeners", "infrastructure"].includes(field) ? [] : [`spec.${field}`],
    ),
  ];
}
