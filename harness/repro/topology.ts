/** Finds the path of a ticket's request and its destination. Pure, and independent of the order of the objects. */

import type { Caller, Difference } from "../model/ticket.ts";
import { callersOf, OTHER_IDENTITY } from "./callers.ts";
import type { TicketRequest } from "./curl-line.ts";
import { defaultService, homeOf, hostFor, meshDestinations, portsFor, toService } from "./destination.ts";
import { endsTls, gatewayFor, routesOf, serviceOf, type ApiGateway } from "./gateway-api.ts";
import {
  fallbackOf,
  hasSidecars,
  inCluster,
  isAtGateway,
  isOf,
  keysFrom,
  labelsAssumed,
  podsOf,
  portAssumed,
  serverModes,
  sorted,
  subsetsOf,
  workloadsOf,
  type Service,
  type ServicePort,
  type Workload,
} from "./services.ts";
import { openSidecars } from "./sidecars.ts";
import { isAmbientTicket, modeOf, passageOf, type Passage } from "./waypoints.ts";
import { isKind, isOfGatewayApi, isPolicy } from "./understood.ts";
import type { TicketObject } from "./ticket.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** The path of a request. */
export type Way =
  | { readonly kind: "service"; readonly service: Service; readonly port: ServicePort }
  | {
      readonly kind: "gateway";
      readonly tls: boolean;
      readonly passthrough: boolean;
      /** The ticket's own, of the Gateway API. */
      readonly api?: ApiGateway;
    }
  | { readonly kind: "egress"; readonly host: string };

export interface Topology {
  readonly way: Way;
  readonly caller: Caller;
  /** Other possible clients and paths of the request. */
  readonly others: readonly {
    readonly caller: Caller;
    readonly open: "identity" | "sidecar" | "ambient" | "way";
    readonly to?: Service;
  }[];
  readonly services: readonly Service[];
  /** The Services whose pods judge a request to a Service, if VirtualServices send it elsewhere. */
  readonly routed: readonly Service[];
  /** The workloads that a request may reach, or that serve keys. */
  readonly workloads: readonly Workload[];
  /** Those of them for which the ticket does not show whether they have a sidecar, which may decide. */
  readonly openSidecars: readonly Workload[];
  /** Namespaces, with or without sidecars. */
  readonly namespaces: ReadonlyMap<string, { readonly sidecars: boolean }>;
  /** Namespace of objects that have none. */
  readonly fallback: string;
  /** The host for a request without one. */
  readonly host?: string;
  readonly differences: readonly Difference[];
  /** How the request comes to its Service, in a ticket of ambient mode. */
  readonly passage?: Passage;
}

export interface TopologyOptions {
  /** `NAMESPACE/SERVICEACCOUNT`, `outside` or `gateway`. */
  readonly from?: string | undefined;
  /** Of the workloads for which the ticket does not show it. */
  readonly sidecars?: boolean | undefined;
}

export function topologyOf(
  objects: readonly TicketObject[],
  request: TicketRequest,
  options: TopologyOptions,
): Topology {
  const differences: Difference[] = [];
  const [, bare, written] = /^(.*?)(?::(\d+))?$/.exec(request.authority ?? "") ?? [];
  const named = (request.host ?? bare ?? "").replace(/:\d+$/, "").toLowerCase();
  const fallback = fallbackOf(objects, named, differences);
  const nsOf = (object: TicketObject): string => object.metadata.namespace ?? fallback;
  const namespaces = new Map<string, { sidecars: boolean }>();
  for (const object of objects)
    if (isKind(object, "Namespace")) namespaces.set(object.metadata.name, { sidecars: hasSidecars(object) });
  // In a mesh in ambient mode pods have no sidecar, unless the ticket shows that they have.
  const ambient = isAmbientTicket(objects);
  const injected = (namespace: string): boolean => namespaces.get(namespace)?.sidecars ?? !ambient;
  const workloads = workloadsOf(objects, nsOf, injected);
  const services: Service[] = sorted(objects.filter((object) => isKind(object, "Service"))).flatMap((object) => {
    const selector = (object.spec?.["selector"] ?? {}) as Record<string, string>;
    if (nsOf(object) === ROOT_NAMESPACE && /ingress|istiod/.test(JSON.stringify([object.metadata.name, selector])))
      return [];
    const ports = portsFor((object.spec?.["ports"] ?? []) as ServicePort[], request);
    return [{ namespace: nsOf(object), name: object.metadata.name, selector, ports, object }];
  });
  const routes = routesOf(objects, nsOf);
  const spaces = new Set([...objects.map(nsOf), ...services.map(({ namespace }) => namespace)]);
  const policies = objects.filter((object) => isPolicy(object));
  const atGateway =
    objects.some((object) => isKind(object, "Gateway") || isOfGatewayApi(object, "Gateway")) ||
    routes.some(({ gateway }) => gateway) ||
    policies.some((one) => isAtGateway(one, objects));
  const find = (name: string, near: string | undefined): Service | undefined => {
    const [service, namespace] = inCluster(name, spaces) ?? [];
    return services.find((one) => one.name === service && one.namespace === (namespace ?? near ?? one.namespace));
  };
  const assume = (namespace: string, name: string, port: number, protocol = "http"): Service => {
    const known = services.find((one) => one.name === name && one.namespace === namespace);
    if (known !== undefined) return known;
    const selector = labelsAssumed(policies, workloads, namespace, nsOf, name, differences);
    const made = {
      namespace,
      name,
      selector,
      ports: [{ name: protocol, port, targetPort: portAssumed(policies, differences) ?? 8080 }],
    };
    services.push(made);
    differences.push({ kind: "service-assumed", service: `${namespace}/${name}`, port, decides: "no" });
    return made;
  };

  // The destinations of VirtualServices must exist.
  for (const { destination, namespace, port, raw } of routes) {
    const [name, space = namespace] = inCluster(destination, new Set([...spaces, namespace])) ?? [];
    if (name !== undefined && find(destination, namespace) === undefined)
      assume(space, name, port ?? (raw ? 443 : 80), raw ? "tls" : "http");
  }
  // The ticket's policies also apply to fetching keys from a Service of the mesh.
  for (const uri of keysFrom(objects)) {
    const [name, space] = inCluster(uri, spaces) ?? [];
    if (name !== undefined && space !== undefined && find(uri, undefined) === undefined) assume(space, name, 80);
  }
  const near = request.sender?.namespace;
  const asked = written === undefined ? undefined : Number(written);
  const inside = request.sender !== undefined || (options.from !== undefined && options.from !== "gateway");
  const cluster = named === "" ? undefined : inClusterFor(named, spaces, inside && !atGateway, differences);
  const own = options.from === "gateway" || named === "" ? undefined : find(named, near);
  const home = (): string => homeOf(policies, objects, nsOf, fallback, differences);
  let way: Way;
  let direct: Service | undefined;
  let host: string | undefined;
  const throughService = serviceOf(named, objects, nsOf) !== undefined;
  if (own !== undefined && !throughService) way = toService(own, asked, request, differences);
  else if (
    !throughService &&
    (cluster?.[1] !== undefined || (cluster !== undefined && !atGateway && request.sender !== undefined))
  )
    way = toService(
      assume(
        ...([cluster[1] ?? near ?? home(), cluster[0], asked ?? (request.scheme === "https" ? 443 : 80)] as const),
        request.raw === true ? "tcp" : "http",
      ),
      asked,
      request,
      differences,
    );
  else if (!throughService && isOpen(named, request, inside, atGateway)) {
    const headless = find(named.replace(/^[^.]*\./, ""), near);
    const service = headless ?? defaultService(services, routes, policies, nsOf, home, assume, differences);
    differences.push({
      ...{ kind: "way-open", host: request.variable ?? named, service: `${service.namespace}/${service.name}` },
      decides: "unknown",
    });
    way = toService(service, headless && asked, request, differences);
  } else if (
    named !== "" &&
    !atGateway &&
    (request.sender !== undefined || objects.some((one) => isKind(one, "ServiceEntry")))
  ) {
    way = { kind: "egress", host: named };
    differences.push({ kind: "leaves-mesh", host: named, decides: "no" });
  } else if (atGateway || options.from === "gateway" || /\./.test(named) || request.variable !== undefined) {
    const passthrough =
      request.scheme === "https" &&
      objects.some((one) => isKind(one, "Gateway") && serverModes(one, named).includes("PASSTHROUGH"));
    if (named === "" && request.variable === undefined) host = hostFor(objects, differences);
    if (request.raw === true)
      differences.push({ kind: "part-left-out", part: "plain TCP through a gateway", decides: "unknown" });
    const api = gatewayFor(objects, nsOf, request, host ?? named, differences);
    const tls =
      request.scheme === "https" &&
      (api === undefined
        ? objects.some((one) => isKind(one, "Gateway") && serverModes(one, named).length > 0)
        : endsTls(objects, nsOf, api));
    way = { kind: "gateway", tls, passthrough, ...(api && { api }) };
    if (!routes.some(({ gateway }) => gateway))
      direct = defaultService(services, routes, policies, nsOf, home, assume, differences);
    if (!atGateway && direct !== undefined) differences.push({ kind: "route-added", decides: "no" });
  } else
    way = toService(
      defaultService(services, routes, policies, nsOf, home, assume, differences),
      undefined,
      request,
      differences,
    );

  for (const service of services)
    if (!workloads.some((one) => isOf(service, one)))
      for (const subset of subsetsOf(objects, service, nsOf)) {
        const pods = podsOf(service, policies, nsOf, injected, differences);
        workloads.push({ ...pods, labels: { ...pods.labels, ...subset } });
      }
  const routed =
    way.kind === "service"
      ? meshDestinations(way.service, objects, nsOf).flatMap(({ host: to, namespace }) => find(to, namespace) ?? [])
      : [];
  const reached = services.filter(
    (service) =>
      (way.kind === "service" && way.service === service) ||
      service === direct ||
      routed.includes(service) ||
      (way.kind === "gateway" &&
        routes.some(({ destination, namespace }) => find(destination, namespace) === service)) ||
      keysFrom(objects).some((uri) => find(uri, undefined) === service),
  );
  if (way.kind === "gateway" && named === "" && request.variable !== undefined)
    differences.push({
      ...{ kind: "host-open", variable: request.variable },
      decides: comparesHosts(objects) || (/url/i.test(request.variable) && request.path === "/") ? "unknown" : "no",
    });
  if (way.kind === "service" && PROXY_PORTS.has(way.port.port))
    differences.push({
      kind: "part-left-out",
      part: `port ${way.port.port}, where the proxy itself answers,`,
      decides: "unknown",
    });
  const { caller, others } = callersOf(request, options, way, {
    policies,
    workloads,
    nsOf,
    namespaces,
    // Behind a gateway the sender is outside of the mesh.
    fallback: way.kind === "service" ? way.service.namespace : (near ?? (way.kind === "gateway" ? fallback : home())),
    differences,
    withMode: (one, labels) => {
      const mode = ambient ? modeOf(objects, one.namespace, labels) : "other";
      return mode === "other" ? one : { ...one, sidecar: false, ambient: true };
    },
    isOpen: (namespace) => ambient && modeOf(objects, namespace) === "unknown",
  });
  const used = workloads.filter((one) => reached.some((service) => isOf(service, one)));
  const open = way.kind === "gateway" && !ambient ? openSidecars(used, objects, nsOf) : [];
  const asking =
    way.kind === "gateway"
      ? services.filter(
          (one) =>
            one === direct ||
            routes.some(({ gateway, destination, namespace }) => gateway && find(destination, namespace) === one),
        )
      : services.filter((one) => way.kind === "service" && way.service === one);
  const passage = passageOf({ objects, nsOf, way, caller, services, asked: asking, workloads: used, differences });
  return {
    ...(passage && { passage }),
    ...{ way, caller, services, routed: [...new Set(routed)], fallback, differences },
    ...(host !== undefined && { host }),
    others: [
      ...others,
      ...(direct !== undefined && !atGateway && options.from === undefined
        ? [{ caller: OTHER_IDENTITY, open: "way" as const, to: direct }]
        : []),
    ],
    openSidecars: open,
    workloads: used.map((one) => (open.includes(one) ? { ...one, sidecar: options.sidecars ?? true } : one)),
    namespaces: new Map(
      [...spaces, caller.namespace, ...services.map(({ namespace }) => namespace)].flatMap((name) =>
        name === "" || name === ROOT_NAMESPACE ? [] : [[name, { sidecars: injected(name) }] as const],
      ),
    ),
  };
}

/** Ports of Istio's proxy, which a sidecar does not treat like those of the workload. */
const PROXY_PORTS: ReadonlySet<number> = new Set([15000, 15001, 15004, 15006, 15008, 15020, 15021, 15053, 15090]);

/** Top-level domains of the internet that no namespace is named after. */
const PUBLIC = /\.(com|org|net|io|edu|gov|example)$/;

/** Top-level domains that are also names of namespaces. */
const AMBIGUOUS = /\.(app|cloud|dev|test|tech|zone|live|shop|[a-z]{2})$/;

/** Like `inCluster`. For a client in the cluster `httpbin.foo` is a Service, even if the ticket has nothing else in that namespace. */
function inClusterFor(
  host: string,
  spaces: ReadonlySet<string>,
  inside: boolean,
  differences: Difference[],
): [service: string, namespace?: string] | undefined {
  const known = inCluster(host, spaces);
  if (known !== undefined || !inside || PUBLIC.test(host)) return known;
  const [, namespace] = host.split(".");
  const found = inCluster(host, new Set([namespace ?? ""]));
  if (found !== undefined && AMBIGUOUS.test(host))
    differences.push({ kind: "way-open", host, service: `${found[1]}/${found[0]}`, decides: "unknown" });
  return found;
}

/** Whether the ticket does not show what answers at a host: an address, a pod's own name, the client itself, a variable. */
function isOpen(host: string, { variable }: TicketRequest, inside: boolean, atGateway: boolean): boolean {
  if (/^(localhost|127\.|\[?::1)/.test(host) || /\.(svc|pod)(\.cluster\.local)?$/.test(host)) return true;
  if (host === "" && variable !== undefined) return !atGateway && !/gateway|ingress|url|lb/i.test(variable);
  return inside && /^\d+\.\d+\.\d+\.\d+$|^\[/.test(host);
}

/** Whether a policy or a route of the ticket compares the request's host. */
function comparesHosts(objects: readonly TicketObject[]): boolean {
  return objects.some(({ spec }) => {
    const { hosts, servers } = (spec ?? {}) as { hosts?: string[]; servers?: { hosts?: string[] }[] };
    const all = [hosts ?? [], ...(servers ?? []).map((one) => one.hosts ?? [])].flat();
    if (all.some((host) => host.replace(/^.*\//, "") !== "*")) return true;
    return /"(not)?hosts":|:authority|\[host\]|"authority"/i.test(
      JSON.stringify(spec?.["rules"] ?? spec?.["http"] ?? ""),
    );
  });
}
