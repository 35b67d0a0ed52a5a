/**
 * Gateways of the Gateway API in tickets: istiod makes a Deployment and a Service for each, so that the ticket's own gateway answers,
 * in its own namespace and on its own ports.
 */

import { GATEWAY_API_GROUP } from "../model/target.ts";
import type { Difference } from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import { fitsHost, sorted, virtualRoutesOf, type RouteTo } from "./services.ts";
import { STAND_IN } from "./stand-in.ts";
import type { TicketObject } from "./ticket.ts";
import { isKind, isOfGatewayApi, refOf } from "./understood.ts";

/** The listener of a Gateway that a request goes to. */
export interface ApiGateway {
  readonly namespace: string;
  readonly name: string;
  /** Undefined for its first one. */
  readonly listener?: string;
  readonly port: number;
}

/** How a scenario calls it; the mesh's own ingress gateway if there is none. */
export function nameOfGateway(api: ApiGateway | undefined): string {
  if (api === undefined) return "ingress";
  return api.listener === undefined ? `gateway/${api.name}` : `gateway/${api.name}/${api.listener}`;
}

interface Listener {
  readonly name: string;
  readonly port: number;
  readonly protocol: string;
  readonly hostname?: string;
  readonly tls?: { readonly certificateRefs?: readonly { readonly name: string; readonly namespace?: string }[] };
}

interface Ref {
  readonly group?: string;
  readonly kind?: string;
  readonly name: string;
  readonly namespace?: string;
  readonly port?: number;
}

const ROUTES: readonly string[] = ["HTTPRoute", "GRPCRoute"];

function listenersOf({ spec }: TicketObject): readonly Listener[] {
  return (spec?.["listeners"] ?? []) as readonly Listener[];
}

export function isRoute(object: TicketObject): boolean {
  return ROUTES.some((kind) => isOfGatewayApi(object, kind));
}

/** The Gateways that a route names as its parents. */
export function parentsOf({ spec }: TicketObject): Ref[] {
  return ((spec?.["parentRefs"] ?? []) as Ref[]).filter(
    ({ group = GATEWAY_API_GROUP, kind = "Gateway" }) => group === GATEWAY_API_GROUP && kind === "Gateway",
  );
}

/** Where routes of both kinds go. */
export function routesOf(objects: readonly TicketObject[], nsOf: (object: TicketObject) => string): RouteTo[] {
  return [...virtualRoutesOf(objects, nsOf), ...backendsOf(objects, nsOf)];
}

function backendsOf(objects: readonly TicketObject[], nsOf: (object: TicketObject) => string): RouteTo[] {
  return objects.filter(isRoute).flatMap((route) => {
    const rules = (route.spec?.["rules"] ?? []) as { backendRefs?: Ref[] }[];
    return rules.flatMap(({ backendRefs = [] }) =>
      backendRefs.flatMap(({ group = "", kind = "Service", name, namespace = nsOf(route), port }) =>
        group === "" && kind === "Service"
          ? [
              {
                destination: `${name}.${namespace}.svc.cluster.local`,
                namespace,
                gateway: parentsOf(route).length > 0,
                raw: false,
                ...(port === undefined ? {} : { port }),
              },
            ]
          : [],
      ),
    );
  });
}

/** Whether any route of the ticket has this Gateway as a parent. */
function routesTo(
  objects: readonly TicketObject[],
  gateway: TicketObject,
  nsOf: (object: TicketObject) => string,
): TicketObject[] {
  return objects.filter(
    (object) =>
      isRoute(object) &&
      parentsOf(object).some(
        ({ name, namespace = nsOf(object) }) => name === gateway.metadata.name && namespace === nsOf(gateway),
      ),
  );
}

function hostnamesOf({ spec }: TicketObject): readonly string[] {
  return (spec?.["hostnames"] ?? []) as readonly string[];
}

/**
 * The Gateway that a request from outside of the cluster goes to; undefined where the ticket has none of the Gateway API.
 * @param host empty if the ticket does not show it
 */
export function gatewayFor(
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  request: TicketRequest,
  host: string,
  differences: Difference[],
): ApiGateway | undefined {
  const all = sorted(objects.filter((object) => isOfGatewayApi(object, "Gateway")));
  if (all.length === 0) return undefined;
  const service = serviceOf(host, all, nsOf);
  const fits = (patterns: readonly string[]): boolean =>
    host === "" || patterns.length === 0 || patterns.some((one) => fitsHost(one.toLowerCase(), host));
  const served = all.filter((gateway) =>
    routesTo(objects, gateway, nsOf).some(
      (route) =>
        fits(hostnamesOf(route)) &&
        listenersOf(gateway).some(({ hostname }) => fits(hostname === undefined ? [] : [hostname])),
    ),
  );
  const classic = objects.filter(
    (one) =>
      isKind(one, "Gateway") &&
      ((one.spec?.["servers"] ?? []) as { hosts?: string[] }[]).some(({ hosts = [] }) =>
        fits(hosts.map((pattern) => pattern.replace(/^.*\//, ""))),
      ),
  );
  const candidates = service !== undefined ? [service] : served.length > 0 ? served : all;
  const open = [...candidates, ...(service === undefined ? classic : [])];
  if (open.length > 1)
    differences.push({
      kind: "workload-open",
      candidates: open.map((one) => `Gateway ${nsOf(one)}/${one.metadata.name}`),
      decides: "unknown",
    });
  const gateway = candidates[0]!;
  return { namespace: nsOf(gateway), name: gateway.metadata.name, ...listenerFor(gateway, request, host, differences) };
}

/** The Gateway whose Service a host names. */
export function serviceOf(
  host: string,
  gateways: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
): TicketObject | undefined {
  return gateways.find(
    (one) =>
      isOfGatewayApi(one, "Gateway") &&
      new RegExp(`^${one.metadata.name}-istio\\.${nsOf(one)}(\\.svc(\\.cluster\\.local)?)?$`).test(host),
  );
}

/** The listener for a scheme, a host and a port; a load balancer before the gateway may have another port, or end TLS. */
function listenerFor(
  gateway: TicketObject,
  { scheme, authority = "" }: TicketRequest,
  host: string,
  differences: Difference[],
): Pick<ApiGateway, "listener" | "port"> {
  const all = listenersOf(gateway);
  const asked = Number(/:(\d+)$/.exec(authority)?.[1] ?? (scheme === "https" ? 443 : 80));
  const speaks = (protocol: string): Listener[] => all.filter((one) => one.protocol === protocol);
  const secured = scheme === "https" ? speaks("HTTPS") : [];
  const fitting = secured.length > 0 ? secured : speaks("HTTP");
  const named = fitting.filter(({ hostname }) => hostname === undefined || host === "" || fitsHost(hostname, host));
  const candidates = named.length > 0 ? named : fitting;
  const chosen = candidates.find(({ port }) => port === asked) ?? candidates[0];
  if (chosen === undefined) {
    differences.push({
      kind: "part-left-out",
      part: `${scheme}, for which Gateway ${gateway.metadata.name} has no listener,`,
      decides: "unknown",
    });
    return { port: all[0]?.port ?? asked };
  }
  if (chosen.port !== asked && new Set(candidates.map(({ port }) => port)).size > 1)
    differences.push({
      kind: "workload-open",
      candidates: candidates.map(({ name }) => `listener ${name} of Gateway ${gateway.metadata.name}`),
      decides: "unknown",
    });
  return { port: chosen.port, ...(chosen === all[0] ? {} : { listener: chosen.name }) };
}

/** Whether the listener ends TLS. */
export function endsTls(
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  { namespace, name, listener }: ApiGateway,
): boolean {
  const gateway = objects.find(
    (one) => isOfGatewayApi(one, "Gateway") && one.metadata.name === name && nsOf(one) === namespace,
  );
  const all = gateway === undefined ? [] : listenersOf(gateway);
  return (all.find((one) => one.name === listener) ?? all[0])?.protocol === "HTTPS";
}

/** Gives a Gateway's listeners meshproof's certificates, and its Service no load balancer. @returns the Secrets to make */
export function settleGateway(
  object: TicketObject,
  namespace: string,
  differences: Difference[],
): {
  readonly metadata: Pick<TicketObject["metadata"], "labels" | "annotations">;
  readonly secrets: readonly { readonly namespace: string; readonly name: string }[];
} {
  const secrets = listenersOf(object).flatMap(({ tls }) =>
    (tls?.certificateRefs ?? []).map((one) => ({ namespace: one.namespace ?? namespace, name: one.name })),
  );
  if (secrets.length > 0) differences.push({ kind: "certificate", object: refOf(object), decides: "no" });
  const { labels } = object.metadata;
  return {
    // istiod gives a Gateway's labels to its pods, and policies may select them.
    metadata: { ...(labels && { labels }), annotations: { "networking.istio.io/service-type": "ClusterIP" } },
    secrets,
  };
}

/** A route for everything to a Service, which may be in another namespace than the Gateway. */
export function routeToAll(
  gateway: Pick<ApiGateway, "namespace" | "name">,
  service: { readonly namespace: string; readonly name: string; readonly ports: readonly { readonly port: number }[] },
): TicketObject[] {
  const apiVersion = `${GATEWAY_API_GROUP}/v1`;
  const route: TicketObject = {
    ...{ apiVersion, kind: "HTTPRoute", metadata: { name: STAND_IN, namespace: gateway.namespace } },
    spec: {
      parentRefs: [{ name: gateway.name }],
      rules: [
        {
          backendRefs: [{ name: service.name, namespace: service.namespace, port: service.ports[0]?.port ?? 80 }],
        },
      ],
    },
  };
  const grant: TicketObject = {
    ...{ apiVersion, kind: "ReferenceGrant", metadata: { name: STAND_IN, namespace: service.namespace } },
    spec: {
      from: [{ group: GATEWAY_API_GROUP, kind: "HTTPRoute", namespace: gateway.namespace }],
      to: [{ group: "", kind: "Service" }],
    },
  };
  return gateway.namespace === service.namespace ? [route] : [route, grant];
}
