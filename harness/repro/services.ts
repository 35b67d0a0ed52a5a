/** The Services, workloads and routes of a ticket, with assumptions about those that it does not contain. */

import { GATEWAY_NAME } from "../verdict/attachment.ts";
import type { Labels } from "../model/finding.ts";
import type { Difference } from "../model/ticket.ts";
import { isKind, isNamespaced, isPolicy, podSpecOf, refOf, targetsIn } from "./understood.ts";
import type { TicketObject } from "./ticket.ts";
import { GATEWAY_LABELS, ROOT_NAMESPACE } from "../model/cluster.ts";
import { isWaypoint } from "../model/waypoint.ts";

export interface ServicePort {
  readonly name?: string;
  readonly port: number;
  readonly targetPort?: number | string;
  readonly protocol?: string;
  readonly appProtocol?: string;
}

export interface Service {
  readonly namespace: string;
  readonly name: string;
  readonly selector: Labels;
  readonly ports: readonly ServicePort[];
  /** The ticket's object; undefined for an assumed one. */
  readonly object?: TicketObject;
}

/** Pods of the ticket; one stand-in replaces them. */
export interface Workload {
  readonly namespace: string;
  /** `Deployment shop`, or `the pods of Service shop` */
  readonly of: string;
  readonly name: string;
  readonly labels: Labels;
  readonly annotations: Labels;
  readonly serviceAccount: string;
  readonly sidecar: boolean;
  readonly ports: readonly { readonly name?: string; readonly containerPort: number }[];
}

export interface RouteTo {
  readonly destination: string;
  readonly namespace: string;
  readonly port?: number;
  /** Whether its VirtualService is bound to a gateway. */
  readonly gateway: boolean;
  /** Whether it routes TLS or TCP, which the gateway does not terminate. */
  readonly raw: boolean;
}

export function sorted<Object extends TicketObject>(objects: readonly Object[]): Object[] {
  const key = ({ metadata }: TicketObject): string => `${metadata.namespace ?? ""}/${metadata.name}`;
  return [...objects].sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

/** The namespace of objects without one: kubectl's default, or that of the requested host. */
export function fallbackOf(objects: readonly TicketObject[], host: string, differences: Difference[]): string {
  const without = objects.filter((one) => one.metadata.namespace === undefined && isNamespaced(one));
  if (without.length === 0) return "default";
  const named = new Set(objects.flatMap(({ metadata }) => metadata.namespace ?? []));
  named.delete(ROOT_NAMESPACE);
  const [only] = named;
  const [, , asked] = /^([a-z0-9-]+)\.([a-z0-9-]+)(\.svc(\.cluster\.local)?)?$/.exec(host) ?? [];
  const namespace = only ?? asked ?? "default";
  for (const object of sorted(without))
    differences.push({
      kind: "namespace-assumed",
      object: refOf(object),
      namespace,
      decides: named.size > 0 ? "unknown" : "no",
    });
  return namespace;
}

export function hasSidecars({ metadata }: TicketObject): boolean {
  const { labels = {} } = metadata;
  return labels["istio-injection"] === undefined
    ? labels["istio.io/rev"] !== undefined
    : labels["istio-injection"] === "enabled";
}

export function workloadsOf(
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  injected: (namespace: string) => boolean,
): Workload[] {
  const kinds = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Pod"];
  return sorted(objects.filter((object) => kinds.some((kind) => isKind(object, kind)))).flatMap(
    (object): Workload[] => {
      const template = (object.kind === "Pod" ? object : object.spec?.["template"]) as
        { metadata?: TicketObject["metadata"] } | undefined;
      const { labels = {}, annotations = {} } = template?.metadata ?? {};
      const namespace = nsOf(object);
      if (namespace === ROOT_NAMESPACE && /ingress|istiod/.test(JSON.stringify([object.metadata.name, labels])))
        return [];
      const spec = podSpecOf(object) ?? {};
      const containers = (spec["containers"] ?? []) as { ports?: Workload["ports"] }[];
      const wish = labels["sidecar.istio.io/inject"] ?? annotations["sidecar.istio.io/inject"];
      return [
        {
          ...{ namespace, labels, of: `${object.kind} ${object.metadata.name}`, name: object.metadata.name },
          annotations: Object.fromEntries(Object.entries(annotations).filter(([key]) => key.includes("istio.io/"))),
          serviceAccount: String(spec["serviceAccountName"] ?? spec["serviceAccount"] ?? "default"),
          sidecar: wish === undefined ? injected(namespace) : wish === "true",
          ports: containers.flatMap(({ ports = [] }) => ports),
        },
      ];
    },
  );
}

export function isOf({ namespace, selector }: Service, workload: Workload): boolean {
  const entries = Object.entries(selector);
  return (
    workload.namespace === namespace &&
    entries.length > 0 &&
    entries.every(([key, value]) => workload.labels[key] === value)
  );
}

/** The ports of a workload that a Service targets. */
export function targetPortsOf({ ports }: Service, workload: Workload): number[] {
  return ports.map(({ port, targetPort }) =>
    typeof targetPort === "number"
      ? targetPort
      : targetPort === undefined
        ? port
        : (workload.ports.find(({ name }) => name === targetPort)?.containerPort ?? 8080),
  );
}

/** The labels of a Service's subsets; one empty set if it has none. */
export function subsetsOf(
  objects: readonly TicketObject[],
  service: Service,
  nsOf: (object: TicketObject) => string,
): Labels[] {
  const found = objects.flatMap((object): Labels[] => {
    if (!isKind(object, "DestinationRule")) return [];
    const { host = "", subsets = [] } = (object.spec ?? {}) as { host?: string; subsets?: { labels?: Labels }[] };
    const [name, namespace = nsOf(object)] = inCluster(host, new Set([service.namespace])) ?? [];
    return name === service.name && namespace === service.namespace ? subsets.map(({ labels = {} }) => labels) : [];
  });
  const different = [
    ...new Map(found.map((labels) => [JSON.stringify(Object.entries(labels).sort()), labels])).values(),
  ];
  return different.length === 0 ? [{}] : different;
}

/** Assumed pods of a Service that are not in the ticket: they get the labels that policies select, which may be wrong. */
export function podsOf(
  service: Service,
  policies: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
  injected: (namespace: string) => boolean,
  differences: Difference[],
): Workload {
  const labels: Record<string, string> = { ...service.selector };
  if (service.object !== undefined)
    for (const policy of sorted(policies)) {
      if (nsOf(policy) !== service.namespace) continue;
      const chosen = selectorOf(policy);
      // Another value of the label belongs to another workload.
      if (Object.entries(chosen).some(([key, value]) => labels[key] !== undefined && labels[key] !== value)) continue;
      if (Object.keys(service.selector).every((key) => chosen[key] === undefined)) continue;
      for (const [key, value] of Object.entries(chosen)) {
        if (labels[key] === value) continue;
        labels[key] = value;
        differences.push({ kind: "label-assumed", label: `${key}=${value}`, by: refOf(policy), decides: "unknown" });
      }
    }
  return {
    ...{ namespace: service.namespace, of: `the pods of Service ${service.name}`, name: service.name, labels },
    ...{ annotations: {}, serviceAccount: "default", sidecar: injected(service.namespace) },
    ports: service.ports.map(({ name, port, targetPort }) => ({
      ...(typeof targetPort === "string" ? { name: targetPort } : name === undefined ? {} : { name }),
      containerPort: typeof targetPort === "number" ? targetPort : typeof targetPort === "string" ? 8080 + port : port,
    })),
  };
}

export function selectorOf({ spec }: TicketObject): Record<string, string> {
  return (spec?.["selector"] as { matchLabels?: Record<string, string> } | undefined)?.matchLabels ?? {};
}

/** Whether a policy names gateways of the Gateway API, by targetRefs or by the label of their pods. */
export function isAtApiGateway(policy: TicketObject): boolean {
  return isPolicy(policy) && (targetsIn(policy).length > 0 || GATEWAY_NAME in selectorOf(policy));
}

/** Whether a policy is for a waypoint, by its targets or by the label of a waypoint's pods. */
export function isForWaypoint(policy: TicketObject, objects: readonly TicketObject[]): boolean {
  if (!isPolicy(policy)) return false;
  const named = (name: string | undefined): boolean =>
    objects.some((one) => isWaypoint(one) && one.metadata.name === name);
  return (
    targetsIn(policy).some(
      ({ kind, name }) => kind === "Service" || kind === "GatewayClass" || (kind === "Gateway" && named(name)),
    ) || named(selectorOf(policy)[GATEWAY_NAME])
  );
}

/** Whether a policy selects an ingress gateway, of either kind. */
export function isAtGateway(policy: TicketObject, objects: readonly TicketObject[]): boolean {
  const chosen = Object.entries(selectorOf(policy));
  if (isForWaypoint(policy, objects)) return false;
  if (isAtApiGateway(policy)) return true;
  if (chosen.length === 0 || !isPolicy(policy)) return false;
  const fits = (labels: Labels): boolean => chosen.every(([key, value]) => labels[key] === value);
  const selectors = objects.flatMap((one) =>
    isKind(one, "Gateway") ? [(one.spec?.["selector"] ?? {}) as Labels] : [],
  );
  const words = Object.fromEntries(chosen);
  return (
    fits(GATEWAY_LABELS) ||
    selectors.some(fits) ||
    /ingress/.test(words["istio"] ?? "") ||
    /ingress-?gateway/.test(words["app"] ?? "")
  );
}

export function isOurGateway(labels: Labels): boolean {
  const entries = Object.entries(labels);
  return entries.length > 0 && entries.every(([key, value]) => GATEWAY_LABELS[key] === value);
}

/** Where VirtualServices route to. */
export function virtualRoutesOf(objects: readonly TicketObject[], nsOf: (object: TicketObject) => string): RouteTo[] {
  return objects.flatMap((object) => {
    if (!isKind(object, "VirtualService")) return [];
    const spec = object.spec ?? {};
    const gateway = ((spec["gateways"] ?? []) as string[]).some((name) => name !== "mesh");
    return ["http", "tls", "tcp"].flatMap((kind) =>
      (
        (spec[kind] ?? []) as {
          route?: { destination?: { host?: string; port?: { number?: number } } }[];
          mirror?: unknown;
        }[]
      ).flatMap(({ route = [] }) =>
        route.flatMap(({ destination }) => {
          if (destination?.host === undefined) return [];
          const port = destination.port?.number;
          return [
            {
              destination: destination.host,
              namespace: nsOf(object),
              gateway,
              raw: kind !== "http",
              ...(port === undefined ? {} : { port }),
            },
          ];
        }),
      ),
    );
  });
}

/** Name and namespace of the Service that a host names; undefined for a host outside the cluster. */
export function inCluster(
  host: string,
  namespaces: ReadonlySet<string>,
): [service: string, namespace?: string] | undefined {
  const [, name, namespace, svc] = /^([a-z0-9-]+)(?:\.([a-z0-9-]+)(\.svc(?:\.cluster\.local)?)?)?$/i.exec(host) ?? [];
  if (name === undefined || /^(localhost|\d+)$/.test(name)) return undefined;
  if (namespace === undefined) return [name];
  return svc !== undefined || namespaces.has(namespace) ? [name, namespace] : undefined;
}

/** Hosts of the jwksUris and issuers. */
export function keysFrom(objects: readonly TicketObject[]): string[] {
  return objects
    .filter((object) => isKind(object, "RequestAuthentication"))
    .flatMap(({ spec }) => (spec?.["jwtRules"] ?? []) as { jwksUri?: unknown; jwks_uri?: unknown }[])
    .flatMap(({ jwksUri, jwks_uri }) => hostOf(String(jwksUri ?? jwks_uri ?? "")) ?? []);
}

/** The host of an HTTP URL, even if the rest of the URL is not valid. */
export function hostOf(url: string): string | undefined {
  return /^https?:\/\/(?:[^/@]*@)?([^/:?#]+)/.exec(url)?.[1];
}

export function serverModes(gateway: TicketObject, host: string): string[] {
  const servers = (gateway.spec?.["servers"] ?? []) as {
    hosts?: string[];
    port?: { protocol?: string };
    tls?: { mode?: string };
  }[];
  return servers.flatMap(({ hosts = [], port, tls }) => {
    if (!/^(HTTPS|TLS)$/.test(port?.protocol ?? "")) return [];
    return hosts.some((one) => fitsHost(one.replace(/^.*\//, ""), host)) ? [tls?.mode ?? "SIMPLE"] : [];
  });
}

export function fitsHost(pattern: string, host: string): boolean {
  return pattern === "*" || pattern === host || (pattern.startsWith("*") && host.endsWith(pattern.slice(1)));
}

/** The labels that policies select, if the ticket has neither Service nor pods. */
export function labelsAssumed(
  policies: readonly TicketObject[],
  workloads: readonly Workload[],
  namespace: string,
  nsOf: (object: TicketObject) => string,
  name: string,
  differences: Difference[],
): Labels {
  const shown = workloads.filter((one) => one.namespace === namespace);
  const same = shown.find((one) => one.name === name) ?? (shown.length === 1 ? shown[0] : undefined);
  if (same !== undefined) return same.labels;
  const labels = new Map<string, Set<string>>();
  for (const policy of policies)
    if (nsOf(policy) === namespace)
      for (const [key, value] of Object.entries(selectorOf(policy)))
        labels.set(key, (labels.get(key) ?? new Set()).add(value));
  const open = [...labels].filter(([, values]) => values.size > 1);
  for (const [key, values] of open) {
    const best = [...values].sort().find((value) => value === name);
    if (best !== undefined) labels.set(key, new Set([best]));
    else
      differences.push({
        kind: "workload-open",
        candidates: [...values].sort().map((value) => `${key}=${value}`),
        decides: "unknown",
      });
  }
  if (labels.size === 0) return { app: name };
  return Object.fromEntries([...labels].map(([key, values]) => [key, [...values].sort()[0]!]).sort());
}

/** The port in the policies, if the container's port is not given; the policies may be wrong about it. */
export function portAssumed(policies: readonly TicketObject[], differences: Difference[]): number | undefined {
  for (const policy of sorted(policies)) {
    const rules = (policy.spec?.["rules"] ?? []) as ({
      to?: { operation?: { ports?: unknown[]; notPorts?: unknown[] } }[];
    } | null)[];
    const listed = rules
      .flatMap((rule) => rule?.to ?? [])
      .flatMap(({ operation }) => [...(operation?.ports ?? []), ...(operation?.notPorts ?? [])]);
    const levels = Object.keys(policy.spec?.["portLevelMtls"] ?? {});
    const port = Number([...listed, ...levels][0]);
    if (!(port > 0)) continue;
    differences.push({ kind: "port-assumed", port, by: refOf(policy), decides: "unknown" });
    return port;
  }
  return undefined;
}
