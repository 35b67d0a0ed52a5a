/** The Service and the port that a ticket's request goes to. */

import type { Difference } from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import {
  inCluster,
  isAtGateway,
  selectorOf,
  virtualRoutesOf,
  type RouteTo,
  type Service,
  type ServicePort,
} from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import type { Way } from "./topology.ts";
import { isKind, isPolicy } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

export function toService(
  service: Service,
  asked: number | undefined,
  { scheme, authority, raw }: TicketRequest,
  differences: Difference[],
): Way {
  const wanted = asked ?? (authority === undefined ? undefined : scheme === "https" ? 443 : 80);
  const port =
    service.ports.find((one) => one.port === wanted) ??
    service.ports.find(({ name }) => /^(http|grpc)/.test(name ?? "")) ??
    service.ports[0];
  if (port === undefined) {
    differences.push({ kind: "part-left-out", part: `the port of Service ${service.name}`, decides: "unknown" });
    return { kind: "service", service, port: { port: 80 } };
  }
  // A missing port would not answer at all, unless the reporter left it out of the ticket.
  if (wanted !== undefined && port.port !== wanted)
    differences.push({
      kind: "part-left-out",
      part: `port ${wanted}, which Service ${service.name} does not have`,
      decides: asked === undefined && service.ports.length === 1 ? "no" : "unknown",
    });
  if (wanted === undefined && service.ports.length > 1)
    differences.push({
      kind: "workload-open",
      candidates: service.ports.map(({ port: one }) => `${service.namespace}/${service.name}:${one}`),
      decides: "unknown",
    });
  if (raw === true)
    differences.push(
      OPAQUE.test(port.appProtocol ?? port.name ?? "")
        ? { kind: "plain-tcp", port: port.port, decides: "no" }
        : { kind: "part-left-out", part: `plain TCP, for which port ${port.port} is not named,`, decides: "unknown" },
    );
  return { kind: "service", service, port };
}

/** The hosts that VirtualServices for sidecars send a Service's requests to. */
export function meshDestinations(
  service: Service,
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
): { readonly host: string; readonly namespace: string }[] {
  return objects.flatMap((object) => {
    const { hosts = [], gateways = ["mesh"] } = (object.spec ?? {}) as { hosts?: string[]; gateways?: string[] };
    const namespace = nsOf(object);
    const its = hosts.some((host) => {
      const [name, space = namespace] = inCluster(host, new Set([service.namespace])) ?? [];
      return name === service.name && space === service.namespace;
    });
    if (!isKind(object, "VirtualService") || !gateways.includes("mesh") || !its) return [];
    return virtualRoutesOf([object], nsOf).map(({ destination }) => ({ host: destination, namespace }));
  });
}

/** Protocols of ports on which the mesh reads no HTTP. */
const OPAQUE = /^(tcp|tls|https|mongo|mysql|redis)(-|$)/;

/** The ports of a Service, the asked one as TCP if it has no protocol: the mesh would find out from the bytes. */
export function portsFor(
  ports: readonly ServicePort[],
  { raw, authority = "" }: TicketRequest,
): readonly ServicePort[] {
  return ports.map((port) =>
    raw === true && authority.endsWith(`:${port.port}`) && port.name === undefined && port.appProtocol === undefined
      ? { ...port, appProtocol: "tcp" }
      : port,
  );
}

/** The host for a request without one that goes through a gateway: the only one that routes and gateways name. */
export function hostFor(objects: readonly TicketObject[], differences: Difference[]): string | undefined {
  const patterns = objects.flatMap((object) => (isPolicy(object) ? [] : hostsOf(object)));
  const hosts = [...new Set(patterns.map((host) => host.replace(/^.*\//, "")))].filter((host) => host !== "*");
  const compared = objects.some(
    (one) => isPolicy(one) && /"(not)?hosts":|:authority/i.test(JSON.stringify(one.spec ?? {})),
  );
  const [host] = hosts.filter((one) => !one.includes("*"));
  if (hosts.length === 0 && !compared) return undefined;
  if (host === undefined || hosts.filter((one) => !one.includes("*")).length > 1) {
    differences.push({ kind: "host-open", variable: "the host", decides: "unknown" });
    return undefined;
  }
  differences.push({ kind: "host-assumed", host, decides: compared ? "unknown" : "no" });
  return host;
}

/** The hosts of a gateway, or of a route that is bound to one. */
function hostsOf({ kind, spec = {} }: TicketObject): readonly string[] {
  const { hosts = [], hostnames = [], gateways = [], servers = [], listeners = [] } = spec as Record<string, never[]>;
  if (kind === "VirtualService") return gateways.some((name) => name !== "mesh") ? hosts : [];
  if (kind === "Gateway")
    return [
      ...(servers as { hosts?: string[] }[]).flatMap((one) => one.hosts ?? []),
      ...(listeners as { hostname?: string }[]).flatMap((one) => one.hostname ?? []),
    ];
  return /Route$/.test(kind) ? hostnames : [];
}

/** The namespace that most policies are in. */
export function homeOf(
  policies: readonly TicketObject[],
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  fallback: string,
  differences: Difference[],
): string {
  const inner = policies.filter((one) => !isAtGateway(one, objects) && nsOf(one) !== ROOT_NAMESPACE);
  const counted = [...Map.groupBy(inner, nsOf)].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
  const names = counted.map(([name]) => name);
  if (names.length > 1 && !differences.some(({ kind }) => kind === "workload-open"))
    differences.push({
      kind: "workload-open",
      candidates: names.sort().map((name) => `namespace ${name}`),
      decides: "unknown",
    });
  if (counted[0] !== undefined) return counted[0][0];
  const rest = [...new Set(objects.map(nsOf))].filter((name) => name !== ROOT_NAMESPACE).sort();
  return rest[0] ?? (fallback === ROOT_NAMESPACE ? "default" : fallback);
}

export function defaultService(
  services: readonly Service[],
  routes: readonly RouteTo[],
  policies: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  home: () => string,
  assume: (namespace: string, name: string, port: number) => Service,
  differences: Difference[],
): Service {
  const routed = services.filter(({ namespace, name }) =>
    routes.some(
      ({ destination }) => destination.split(".")[0] === name && (destination.split(".")[1] ?? namespace) === namespace,
    ),
  );
  const chosen = services.filter((service) =>
    policies.some(
      (one) =>
        nsOf(one) === service.namespace &&
        Object.entries(selectorOf(one)).some(([key, value]) => service.selector[key] === value),
    ),
  );
  const candidates = routed.length > 0 ? routed : chosen.length > 0 ? chosen : services;
  const [first] = candidates;
  if (first === undefined) return assume(home(), "workload", 8000);
  if (candidates.length > 1)
    differences.push({
      kind: "workload-open",
      candidates: candidates.map(({ namespace, name }) => `${namespace}/${name}`),
      decides: "unknown",
    });
  return first;
}
