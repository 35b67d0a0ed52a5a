/** The Gateways of the Gateway API that a ticket shows, or that its routes, policies and labels name. */

import { GATEWAY_API_GROUP, isOfGatewayApiGroup } from "../model/target.ts";
import type { Difference } from "../model/ticket.ts";
import { HBONE_PORT, isWaypoint, USES, USES_NAMESPACE, WAYPOINT_CLASS } from "../model/waypoint.ts";
import { GATEWAY_NAME } from "../verdict/attachment.ts";
import { isRoute, parentsOf } from "./gateway-api.ts";
import { isForWaypoint, sorted } from "./services.ts";
import type { TicketObject } from "./ticket.ts";
import { isPolicy, refOf, targetsIn } from "./understood.ts";

/** The Gateways that a policy names in its targetRefs. */
function targetGatewaysOf(policy: TicketObject): string[] {
  return targetsIn(policy).flatMap(({ group, kind, name }) =>
    group === GATEWAY_API_GROUP && kind === "Gateway" ? [name] : [],
  );
}

/**
 * The ticket's objects, with a Gateway where routes or policies name one and the ticket has none, and without what istiod makes for a
 * Gateway, which it makes again.
 */
export function withGateways(objects: readonly TicketObject[]): {
  readonly objects: readonly TicketObject[];
  readonly differences: readonly Difference[];
} {
  const assumed = withWaypoint(objects);
  if (assumed !== undefined) {
    const more = withGateways(assumed.objects);
    return { objects: more.objects, differences: [...assumed.differences, ...more.differences] };
  }
  const shown = objects.filter((object) => object.kind === "Gateway" && isOfGatewayApiGroup(object));
  if (shown.every((one) => isWaypoint(one))) return withAssumed(withoutMade(objects, shown));
  return withoutMade(objects, shown);
}

/** A ticket without what istiod makes for its Gateways. */
function withoutMade(
  objects: readonly TicketObject[],
  shown: readonly TicketObject[],
): ReturnType<typeof withGateways> {
  const differences: Difference[] = [];
  const kept = objects.filter((object) => {
    const { kind, metadata, apiVersion } = object;
    const made = shown.some(
      (gateway) =>
        ["Deployment", "Service", "ServiceAccount", "HorizontalPodAutoscaler", "PodDisruptionBudget"].includes(kind) &&
        metadata.namespace === gateway.metadata.namespace &&
        metadata.name === (isWaypoint(gateway) ? gateway.metadata.name : `${gateway.metadata.name}-istio`),
    );
    const pod = kind === "Pod" && metadata.labels?.[GATEWAY_NAME] !== undefined;
    if (made || pod)
      differences.push({
        ...{ kind: "object-left-out", object: refOf(object), apiVersion, because: "made-by-istiod", decides: "no" },
      });
    return !made && !pod;
  });
  return { objects: kept, differences };
}

/** The ticket with the waypoint that its labels name, if it shows none at all. */
function withWaypoint(objects: readonly TicketObject[]): ReturnType<typeof withGateways> | undefined {
  if (objects.some((one) => isWaypoint(one))) return undefined;
  const [named] = sorted(objects).flatMap(({ kind, metadata: { name, namespace, labels = {} } }) =>
    (kind === "Service" || kind === "Namespace") && labels[USES] !== undefined && labels[USES] !== "none"
      ? [{ name: labels[USES], namespace: labels[USES_NAMESPACE] ?? (kind === "Namespace" ? name : namespace) }]
      : [],
  );
  if (named === undefined) return undefined;
  const { name, namespace } = named;
  const gateway: TicketObject = {
    ...{ apiVersion: `${GATEWAY_API_GROUP}/v1`, kind: "Gateway" },
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    spec: {
      gatewayClassName: WAYPOINT_CLASS,
      listeners: [{ name: "mesh", port: HBONE_PORT, protocol: "HBONE" }],
    },
  };
  return {
    objects: [...objects, gateway],
    differences: [{ kind: "gateway-assumed", object: refOf(gateway), decides: "unknown" }],
  };
}

function withAssumed({ objects, differences }: ReturnType<typeof withGateways>): ReturnType<typeof withGateways> {
  const byRoute = sorted(objects.filter(isRoute)).flatMap((route) =>
    parentsOf(route).map(({ name, namespace = route.metadata.namespace }) => ({ name, namespace, sure: true })),
  );
  const byPolicy = sorted(objects.filter((one) => isPolicy(one) && !isForWaypoint(one, objects))).flatMap((policy) =>
    targetGatewaysOf(policy).map((name) => ({ name, namespace: policy.metadata.namespace, sure: false })),
  );
  // A policy may be in the wrong namespace, and traffic shows that a route is not.
  const named = byRoute.length > 0 ? byRoute : byPolicy;
  const unique = [...new Map(named.map((one) => [`${one.namespace}/${one.name}`, one])).values()];
  const made = unique.map(({ name, namespace }): TicketObject => ({
    ...{ apiVersion: `${GATEWAY_API_GROUP}/v1`, kind: "Gateway" },
    metadata: { name, ...(namespace !== undefined && { namespace }) },
    spec: {
      gatewayClassName: "istio",
      listeners: [{ name: "http", port: 80, protocol: "HTTP", allowedRoutes: { namespaces: { from: "All" } } }],
    },
  }));
  return {
    objects: [...objects, ...made],
    differences: [
      ...differences,
      ...made.map((gateway, index): Difference => ({
        ...{ kind: "gateway-assumed", object: refOf(gateway), decides: unique[index]!.sure ? "no" : "unknown" },
      })),
    ],
  };
}
