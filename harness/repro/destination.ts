/** The Service and the port that a ticket's request goes to. */

import type { Difference } from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import { isAtGateway, ROOT, selectorOf, type RouteTo, type Service } from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import type { Way } from "./topology.ts";

export function toService(
  service: Service,
  asked: number | undefined,
  { scheme, authority }: TicketRequest,
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
  return { kind: "service", service, port };
}

/** The namespace that most policies are in. */
export function homeOf(
  policies: readonly TicketObject[],
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  fallback: string,
  differences: Difference[],
): string {
  const inner = policies.filter((one) => !isAtGateway(one, objects) && nsOf(one) !== ROOT);
  const counted = [...Map.groupBy(inner, nsOf)].sort(([a, x], [b, y]) => y.length - x.length || (a < b ? -1 : 1));
  const names = counted.map(([name]) => name);
  if (names.length > 1 && !differences.some(({ kind }) => kind === "workload-open"))
    differences.push({
      kind: "workload-open",
      candidates: names.sort().map((name) => `namespace ${name}`),
      decides: "unknown",
    });
  if (counted[0] !== undefined) return counted[0][0];
  const rest = [...new Set(objects.map(nsOf))].filter((name) => name !== ROOT).sort();
  return rest[0] ?? (fallback === ROOT ? "default" : fallback);
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
