/**
 * Whether a ticket's request passes a waypoint, as istiod and ztunnel decide it (istio pilot/pkg/serviceregistry/ambient/waypoints.go,
 * fetchWaypointForService; ztunnel src/proxy/outbound.rs), and what ztunnel, which is not here, would decide. Pure.
 */

import { ROOT_NAMESPACE } from "../model/cluster.ts";
import type { Labels, ObjectRef } from "../model/finding.ts";
import type { Hint } from "../model/hint.ts";
import { identityOf, waypointIdentity } from "../model/identity.ts";
import type { Caller, Difference } from "../model/ticket.ts";
import {
  HBONE_PORT,
  INGRESS_USES,
  isWaypoint,
  MODE,
  USES,
  USES_NAMESPACE,
  WAYPOINT_FOR,
  type Bypass,
} from "../model/waypoint.ts";
import type { Served } from "../verdict/attachment.ts";
import { selectorOf, type Service, type Workload } from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import type { Way } from "./topology.ts";
import { isKind, isPolicy, refOf, targetsIn } from "./understood.ts";
import { allowsOnly, hasStrict, httpFieldsOf, isInert } from "./ztunnel.ts";

export interface WaypointRef {
  readonly namespace: string;
  readonly name: string;
}

/** How a request comes to a Service: through a waypoint, or past it. */
export type Passage =
  | {
      readonly kind: "through";
      readonly service: WaypointRef;
      readonly port?: number;
      readonly waypoint: WaypointRef;
      /** What uses this waypoint. */
      readonly serves: readonly Served[];
      /** Of the Service itself. */
      readonly labels: Labels;
      /** The client is in ambient mode; otherwise a gateway sends. */
      readonly tunnel: boolean;
    }
  | {
      readonly kind: "past";
      readonly service: WaypointRef;
      readonly waypoint?: WaypointRef;
      readonly because: Bypass;
    };

type NsOf = (object: TicketObject) => string;

function podLabelsOf({ spec, kind, metadata }: TicketObject): Labels {
  if (kind === "Pod") return metadata.labels ?? {};
  return (spec?.["template"] as { metadata?: { labels?: Labels } } | undefined)?.metadata?.labels ?? {};
}

/** Whether anything of a ticket is of ambient mode: then pods for which it does not show otherwise are in it. */
export function isAmbientTicket(objects: readonly TicketObject[]): boolean {
  return objects.some((object) => {
    const labels = { ...podLabelsOf(object), ...object.metadata.labels };
    return (
      isWaypoint(object) ||
      labels[USES] !== undefined ||
      labels[MODE] !== undefined ||
      (isPolicy(object) && targetsIn(object).some(({ kind }) => kind === "Service" || kind === "GatewayClass"))
    );
  });
}

function namespaceIn(objects: readonly TicketObject[], name: string): TicketObject | undefined {
  return objects.find((one) => isKind(one, "Namespace") && one.metadata.name === name);
}

/** Whether pods are in ambient mode; `unknown` where the ticket does not show their namespace. A pod with a sidecar is not captured. */
export function modeOf(
  objects: readonly TicketObject[],
  namespace: string,
  labels: Labels = {},
): "ambient" | "other" | "unknown" {
  if (labels["sidecar.istio.io/inject"] === "true" || labels[MODE] === "none") return "other";
  const shown = namespaceIn(objects, namespace);
  const own = shown?.metadata.labels ?? {};
  if (own["istio-injection"] === "enabled" || own["istio.io/rev"] !== undefined)
    return labels["sidecar.istio.io/inject"] === "false" && (labels[MODE] ?? own[MODE]) === "ambient"
      ? "ambient"
      : "other";
  if (labels[MODE] === "ambient") return "ambient";
  if (shown === undefined) return "unknown";
  return own[MODE] === "ambient" ? "ambient" : "other";
}

type Use =
  | { readonly waypoint: WaypointRef }
  | { readonly because: Bypass; readonly named?: WaypointRef }
  /** The namespace's labels decide, and the ticket does not show them. */
  | { readonly open: string };

/** The waypoint of a Service. */
export function useOf(
  { namespace, object }: Pick<Service, "namespace" | "object">,
  objects: readonly TicketObject[],
  nsOf: NsOf,
): Use {
  const own = object?.metadata.labels ?? {};
  const space = namespaceIn(objects, namespace);
  if (own[USES] === undefined && space === undefined) return { open: USES };
  const from = own[USES] === undefined ? (space?.metadata.labels ?? {}) : own;
  const name = from[USES];
  if (name === "none") return { because: "opted-out" };
  if (name === undefined) return { because: "no-label" };
  const named = { namespace: from[USES_NAMESPACE] ?? namespace, name };
  const gateway = objects.find((one) => isWaypoint(one) && one.metadata.name === name && nsOf(one) === named.namespace);
  if (gateway === undefined) return { because: "no-such-waypoint", named };
  if (named.namespace !== namespace && !allowsAll(gateway)) return { because: "not-allowed", named };
  const traffic = gateway.metadata.labels?.[WAYPOINT_FOR] ?? "service";
  return traffic === "service" || traffic === "all" ? { waypoint: named } : { because: "not-for-services", named };
}

/** Whether the listener for HBONE allows Services of other namespaces. */
function allowsAll({ spec }: TicketObject): boolean {
  const listeners = (spec?.["listeners"] ?? []) as {
    protocol?: string;
    port?: number;
    allowedRoutes?: { namespaces?: { from?: string } };
  }[];
  const found = listeners.find(({ protocol, port }) => protocol === "HBONE" && port === HBONE_PORT);
  return found?.allowedRoutes?.namespaces?.from === "All";
}

export interface Ways {
  readonly objects: readonly TicketObject[];
  readonly nsOf: NsOf;
  readonly way: Way;
  readonly caller: Caller;
  readonly services: readonly Service[];
  /** The Services that the request may be for: of a gateway, those of its routes. */
  readonly asked: readonly Service[];
  /** The pods that it may reach. */
  readonly workloads: readonly Workload[];
  readonly differences: Difference[];
}

/** Which way a request comes to its Service; undefined where the ticket has nothing of ambient mode, or several Services may be asked. */
export function passageOf(ways: Ways): Passage | undefined {
  const { objects, nsOf, way, caller, asked, differences } = ways;
  if (!isAmbientTicket(objects) || way.kind === "egress" || asked.length === 0) return undefined;
  if (asked.length > 1) {
    // Each Service has its own labels, and a route chooses one.
    differences.push({
      ...{ kind: "workload-open", candidates: asked.map(({ namespace, name }) => `Service ${namespace}/${name}`) },
      decides: "unknown",
    });
    return undefined;
  }
  const service = asked[0]!;
  const ref = { namespace: service.namespace, name: service.name };
  const open = (label: string): undefined =>
    void differences.push({
      ...{ kind: "waypoint-open", service: `${ref.namespace}/${ref.name}`, namespace: ref.namespace, label },
      decides: "unknown",
    });
  const use = useOf(service, objects, nsOf);
  if ("open" in use) return open(use.open);
  const passage = ((): Passage | undefined => {
    if ("because" in use)
      return { kind: "past", service: ref, ...(use.named && { waypoint: use.named }), because: use.because };
    const past = (because: Bypass): Passage => ({ kind: "past", service: ref, waypoint: use.waypoint, because });
    if (caller.kind === "gateway") {
      const own = service.object?.metadata.labels?.[INGRESS_USES];
      const space = namespaceIn(objects, service.namespace);
      if (own === undefined && space === undefined) return open(INGRESS_USES);
      if ((own ?? space?.metadata.labels?.[INGRESS_USES]) !== "true") return past("gateway");
    } else if (!caller.ambient) return past(caller.sidecar ? "sidecar" : "outside");
    if (service.object?.spec?.["clusterIP"] === "None")
      // Its pods are asked by their addresses, for which ztunnel looks at the pods' own labels.
      differences.push({ kind: "part-left-out", part: "a headless Service behind a waypoint", decides: "unknown" });
    const serves = ways.services.flatMap((one) => {
      const other = useOf(one, objects, nsOf);
      const same =
        "waypoint" in other &&
        other.waypoint.name === use.waypoint.name &&
        other.waypoint.namespace === use.waypoint.namespace;
      return same ? [{ kind: "Service", namespace: one.namespace, name: one.name }] : [];
    });
    return {
      ...{ kind: "through", service: ref, waypoint: use.waypoint, serves, tunnel: caller.ambient === true },
      labels: service.object?.metadata.labels ?? {},
      ...(way.kind === "service" && { port: way.port.port }),
    };
  })();
  if (passage?.kind === "through" && passage.tunnel) {
    const { waypoint } = passage;
    differences.push({ kind: "hbone", waypoint: `${waypoint.namespace}/${waypoint.name}`, decides: "no" });
    // One of the ticket might change the proxy that plays ztunnel.
    for (const one of objects.filter((filter) => isKind(filter, "EnvoyFilter") && targetsIn(filter).length === 0))
      differences.push({ kind: "field-left-out", object: refOf(one), field: "the whole object", decides: "unknown" });
  }
  if (passage !== undefined) differences.push(...behind(ways, passage));
  return passage;
}

/** What is enforced between the waypoint, or the client, and the workload, and is not the same here. */
function behind({ objects, nsOf, caller, workloads }: Ways, passage: Passage): Difference[] {
  const through = passage.kind === "through" ? passage.waypoint : undefined;
  const policies = objects.filter((one) => isPolicy(one) && targetsIn(one).length === 0);
  return workloads.flatMap((workload): Difference[] => {
    const { namespace, labels, sidecar, of } = workload;
    const near = policies.filter((policy) => {
      const chosen = Object.entries(selectorOf(policy));
      return (
        [namespace, ROOT_NAMESPACE].includes(nsOf(policy)) && chosen.every(([key, value]) => labels[key] === value)
      );
    });
    if (sidecar)
      return through === undefined && caller.ambient !== true
        ? []
        : near.map((policy) => ({ kind: "sidecar-behind-waypoint", of, object: refOf(policy), decides: "unknown" }));
    if (modeOf(objects, namespace, labels) === "other") return [];
    const sender = through !== undefined ? waypointIdentity(through) : caller.ambient ? identityOf(caller) : undefined;
    const byHbone = sender !== undefined || caller.kind === "gateway";
    const effective = near.filter(
      (policy) =>
        (policy.kind === "AuthorizationPolicy" && !isInert(policy)) ||
        (policy.kind === "PeerAuthentication" && !byHbone && hasStrict(policy)),
    );
    const denies = effective.filter(({ kind, spec }) => kind === "PeerAuthentication" || spec?.["action"] === "DENY");
    const allows = effective.filter((policy) => !denies.includes(policy));
    const admitted = sender !== undefined && allows.some((policy) => allowsOnly(policy, sender));
    return [...denies, ...(admitted ? [] : allows)].map((policy) => ({
      ...{ kind: "ztunnel", object: refOf(policy) },
      decides: "unknown",
    }));
  });
}

/** The waypoint of a ticket that this mesh cannot have. */
export function missingWaypoint(
  objects: readonly TicketObject[],
  { waypoints = false }: { readonly waypoints?: boolean | undefined },
): ObjectRef | undefined {
  const gateway = waypoints ? undefined : objects.find((one) => isWaypoint(one));
  return gateway && refOf(gateway);
}

/** Policies that no waypoint enforces, and fields that ztunnel does not read. */
export function waypointHints(
  objects: readonly TicketObject[],
  { passage }: { passage?: Passage },
  nsOf: NsOf,
): Hint[] {
  if (passage === undefined) return [];
  const { waypoint, kind, service } = passage;
  return objects.flatMap((object): Hint[] => {
    if (!isPolicy(object) || object.kind === "PeerAuthentication" || targetsIn(object).length > 0) return [];
    if (![service.namespace, waypoint?.namespace].includes(nsOf(object))) return [];
    const fields = object.kind === "AuthorizationPolicy" && !isInert(object) ? httpFieldsOf(object) : [];
    const named = waypoint && `${waypoint.namespace}/${waypoint.name}`;
    return [
      ...(kind === "through" && named !== undefined
        ? [{ kind: "not-at-waypoint", object: refOf(object), waypoint: named } as const]
        : []),
      ...(fields.length > 0 ? [{ kind: "ztunnel-drops-http", object: refOf(object), fields } as const] : []),
    ];
  });
}
