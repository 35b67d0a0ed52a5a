/** Translates a ticket to an ordinary scenario folder. Pure. */

import { isDeepStrictEqual } from "node:util";
import { isOfGatewayApiGroup } from "../model/target.ts";
import { isWaypoint } from "../model/waypoint.ts";
import { redactValue } from "../safe/redact.ts";
import type { Labels } from "../model/finding.ts";
import type { Expectation } from "../model/scenario.ts";
import type { Difference, JwksState } from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import { AUTHORIZER, withAuthorizer } from "./authorizer.ts";
import { nameOfGateway, routesOf, routeToAll, settleGateway } from "./gateway-api.ts";
import { withGateways } from "./shown-gateways.ts";
import { hintsOf } from "./hints.ts";
import { issuerFileOf, issuersOf, otherKeysOf, rewriteRules, slug, type JwtRule, type MadeIssuer } from "./issuers.ts";
import { defaultRoute, originatesTls, settleAtGateway, settleEntry, settleServers } from "./settle.ts";
import { portable } from "./portable.ts";
import { otherSpellings } from "./spellings.ts";
import { standIns, STAND_IN, toYaml, type KeySet } from "./stand-in.ts";
import { columnsOf } from "./tokens-of.ts";
import { hostOf, inCluster, isAtGateway, isOurGateway } from "./services.ts";
import { topologyOf, type Topology } from "./topology.ts";
import type { Ticket, TicketObject, Translation } from "./ticket.ts";
import { meshSettingsOf } from "./mesh-settings.ts";
import { isApplied, isKind, isOfGatewayApi, isPolicy, notUnderstood, refOf, valuesOf } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

const NOBODY: MadeIssuer = {
  name: "ticket-nobody",
  iss: "(none)",
  keys: [{ kid: "key-1", alg: "RS256" }],
  fromJwks: false,
};

/** Translates a ticket. */
export function translate(given: Ticket): Translation {
  // The order of the objects in their files decides nothing.
  const shown = withGateways([...given.objects].sort(byName));
  const values = valuesOf(shown.objects);
  const scripted = withAuthorizer(values.objects, given.authorizer);
  const ticket = { ...given, objects: scripted.objects };
  const { objects } = ticket;
  const topology = topologyOf(objects, ticket.request, { from: ticket.from, sidecars: ticket.sidecars });
  const request = { ...ticket.request, ...(topology.host !== undefined && { host: topology.host }) };
  const settings = meshSettingsOf(objects);
  const asked = given.authorizer !== undefined && scripted.differences.length > 0;
  const mesh = asked ? { ...settings.mesh, extAuthz: true } : settings.mesh;
  const differences: Difference[] = [
    ...request.differences,
    ...shown.differences,
    ...values.differences,
    ...notUnderstood(objects),
    ...settings.differences,
    ...scripted.differences,
    ...topology.differences,
  ];
  const nsOf = (object: TicketObject): string => object.metadata.namespace ?? topology.fallback;
  const named = issuersOf(objects, ticket.tokens);
  // The replacement of an opaque token is made like a token.
  const issuers = named.length === 0 && request.tokens.length > 0 ? [NOBODY] : named;
  const stateOf = (iss: string): JwksState | undefined => ticket.jwksOf?.[iss] ?? ticket.jwks;
  const folder = `tickets/${ticket.name}`;
  const applied: { file: string; object: TicketObject }[] = [];
  const write = (object: TicketObject): void => {
    const file = `${String(applied.length + 1).padStart(2, "0")}-${slug(object.kind)}-${slug(object.metadata.name)}.yaml`;
    applied.push({ file, object });
  };
  const { way } = topology;
  const ofGatewayApi = way.kind === "gateway" && way.api !== undefined;
  const rules: JwtRule[] = [];
  const keySets: KeySet[] = [];
  const secrets = new Map<string, { namespace: string; name: string }>();
  const inMesh = (uri: string): { namespace: string; service: string } | undefined => {
    const [name, namespace = ROOT_NAMESPACE] = inCluster(hostOf(uri) ?? "", new Set(topology.namespaces.keys())) ?? [];
    const found = topology.services.find((one) => one.name === name && one.namespace === namespace);
    return found && { namespace: found.namespace, service: found.name };
  };
  // A name without a namespace is one of istiod's own, or one that the reporter has shortened.
  const unresolved = (uri: string, iss: string): Difference["decides"] | undefined => {
    const host = hostOf(uri);
    if (host === undefined || inMesh(uri) !== undefined) return undefined;
    if (/^(localhost|127\..*|host\.docker\.internal)$/i.test(host)) return "no";
    if (host.includes(".")) return undefined;
    const shown = topology.services.some(({ name }) => name === host);
    return shown || !ticket.tokens.some(({ claims }) => claims["iss"] === iss) ? "no" : "unknown";
  };
  for (const object of objects) {
    if (!isApplied(object)) continue;
    const { kind, metadata } = object;
    let spec: Record<string, unknown> = structuredClone({ ...object.spec });
    let namespace = nsOf(object);
    if (kind === "RequestAuthentication") {
      const rewritten = rewriteRules(`${kind} ${metadata.name}`, spec, issuers, stateOf, inMesh, unresolved);
      spec = rewritten.spec;
      rules.push(...rewritten.rules);
      keySets.push(...rewritten.keySets);
      differences.push(...rewritten.differences);
    }
    const extra: Pick<TicketObject["metadata"], "labels" | "annotations"> = {};
    if (isOfGatewayApi(object, "Gateway") || isWaypoint(object)) {
      const settled = settleGateway(object, namespace, differences);
      Object.assign(extra, settled.metadata);
      for (const one of settled.secrets) secrets.set(`${one.namespace}/${one.name}`, one);
    }
    // The pods of a Gateway of the Gateway API are in the ticket's namespace, with the ticket's labels.
    if (isPolicy(object) && !ofGatewayApi && isAtGateway(object, objects)) {
      const settled = settleAtGateway(object, namespace, objects);
      if (settled.difference !== undefined) differences.push(settled.difference);
      if (settled.selector !== undefined) spec["selector"] = { matchLabels: settled.selector };
      namespace = settled.namespace;
    }
    if (isKind(object, "Gateway")) {
      const selector = (spec["selector"] ?? {}) as Labels;
      if (!isOurGateway(selector)) {
        differences.push({ kind: "gateway", object: refOf(object), selector, elsewhere: false, decides: "no" });
        spec["selector"] = { istio: "ingressgateway" };
      }
      for (const one of settleServers(
        object,
        spec,
        objects.some((one) => isPolicy(one) && /"(not)?ports"|destination\.port/i.test(JSON.stringify(one.spec ?? {}))),
        differences,
      ))
        secrets.set(`${ROOT_NAMESPACE}/${one}`, { namespace: ROOT_NAMESPACE, name: one });
    }
    if (kind === "ServiceEntry" && topology.way.kind === "egress") settleEntry(spec);
    if (!isPolicy(object)) {
      // A route may set a header with a credential. Values that policies compare stay.
      const safe = redactValue(spec) as Record<string, unknown>;
      if (!isDeepStrictEqual(safe, spec))
        differences.push({ kind: "placeholder", part: `${kind} ${metadata.name}`, decides: "no" });
      spec = safe;
    }
    const dryRun = metadata.annotations?.["istio.io/dry-run"];
    write({
      ...{ apiVersion: object.apiVersion, kind },
      metadata: {
        name: metadata.name,
        namespace,
        ...extra,
        ...(dryRun === undefined ? {} : { annotations: { "istio.io/dry-run": dryRun } }),
      },
      spec,
    });
  }
  if (way.kind === "gateway" && request.scheme === "https" && !way.tls)
    differences.push({ kind: "part-left-out", part: "TLS, which no Gateway of the ticket ends,", decides: "no" });
  if (way.kind === "gateway" && !routesOf(objects, nsOf).some(({ gateway }) => gateway)) {
    const gateway = objects.find((one) => isKind(one, "Gateway") || isOfGatewayApi(one, "Gateway"));
    const [service] = topology.services.filter(
      ({ name, namespace }) => topology.workloads.some((one) => one.namespace === namespace) && name !== "",
    );
    const added = ofGatewayApi
      ? routeToAll(way.api, service!)
      : defaultRoute(service!, gateway && { namespace: nsOf(gateway), name: gateway.metadata.name });
    for (const object of added) write(object);
    if (gateway !== undefined) differences.push({ kind: "route-added", gateway: refOf(gateway), decides: "no" });
  }

  const places = placesOf(topology);
  const raw = routesOf(objects, nsOf).filter((one) => one.raw);
  const speaksTls = (service: Topology["services"][number], port: { port: number; name?: string }): boolean =>
    (way.kind === "service" && request.scheme === "https" && way.service === service && way.port.port === port.port) ||
    raw.some(({ destination, namespace, port: to }) => {
      const [name, space = namespace] = inCluster(destination, new Set([service.namespace])) ?? [];
      return name === service.name && space === service.namespace && (to === undefined || to === port.port);
    }) ||
    originatesTls(objects, service, nsOf);
  const own = places
    .filter(({ caller }) => caller.kind === "pod" && caller.namespace !== "meshproof-outside")
    .map(({ caller }) => caller);
  const made = standIns(topology, own, keySets, speaksTls, ticket.image, objects);
  for (const { of, labels, ports, sidecar } of topology.workloads)
    differences.push({
      kind: "stand-in",
      of,
      labels,
      sidecar,
      ports: ports.map(({ containerPort }) => containerPort),
      decides: "no",
    });

  const rows = [
    `${request.method} ${request.path}`,
    ...otherSpellings(request.path).map((path) => `${request.method} ${path}`),
  ];
  if (rows.length > 1) differences.push({ kind: "row-added", requests: rows.slice(1), decides: "no" });
  const { tokens, columns, given: column, otherTimes, differences: about } = columnsOf(ticket, rules, issuers);
  differences.push(...about);
  const files = new Map<string, string>();
  for (const one of [...issuers, ...otherKeysOf(issuers, stateOf)])
    files.set(`issuers/${one.name}.yaml`, toYaml(issuerFileOf(one)));
  for (const { file, object } of applied) files.set(`${folder}/${file}`, toYaml(object));
  files.set(`workloads/${STAND_IN}/${STAND_IN}.yaml`, made.map(toYaml).join("---\n"));
  if (asked) files.set(`workloads/${AUTHORIZER}/${AUTHORIZER}.yaml`, given.authorizer.workload);
  const fetches = [...files.values()].some((text) => text.includes("@outside-http"));
  const to = way.kind === "gateway" ? nameOfGateway(way.api) : way.kind === "egress" ? "elsewhere" : way.service.name;
  const hosts = [request.authority ?? "", request.host ?? ""]
    .map((host) => host.replace(/:\d+$/, ""))
    .filter((host) => host !== "");
  const differs = dedupe(differences);
  return {
    ...{ id: folder, files, columns, rows, given: column, otherTimes, issuers, rules, topology },
    mesh,
    callers: places,
    certificate: {
      hosts:
        hosts.length > 0 && (request.scheme === "https" || raw.length > 0 || secrets.size > 0)
          ? [...new Set(hosts)]
          : [],
      secrets: [...secrets.values()],
    },
    differences: differs,
    hints: hintsOf(ticket, topology, rules, nsOf),
    exported: portable({
      ticket,
      topology,
      applied,
      made,
      issuers: [...issuers, ...otherKeysOf(issuers, stateOf)],
      folder,
      secured: secrets.size > 0 || request.scheme === "https",
    }),
    scenario: (expect, forExport = false) => {
      const main = places[0]!.place;
      const headers = headersOf(request, way, forExport);
      const check = {
        ...(request.protocol && { protocol: request.protocol }),
        ...(Object.keys(headers).length > 0 ? { headers } : {}),
      };
      const others = places.slice(1).map(({ place }, index) => ({
        ...{
          name: `other-${index + 1}`,
          from: place,
          to: topology.others[index]?.to?.name ?? to,
          method: request.method,
          path: request.path,
        },
        ...check,
        token: column,
        expect: 200,
      }));
      // A ticket's own places send through its waypoint (stage.ts).
      const through =
        forExport && topology.passage?.kind === "through"
          ? { through: `waypoint/${topology.passage.waypoint.name}` }
          : {};
      const matrix = {
        ...{ title: "ticket", from: main, to, ...through, ...check, columns },
        rows: Object.fromEntries(
          rows.map((name, row) => [name, columns.map((_, column) => cellOf(expect(row, column)))]),
        ),
      };
      const gateway = way.kind === "gateway";
      const set = Object.keys(mesh).length > 0;
      const features = [
        ...(gateway && !ofGatewayApi ? ["ingress-gateway"] : []),
        ...(applied.some(({ object }) => isOfGatewayApiGroup(object)) ? ["gateway-api"] : []),
        ...(applied.some(({ object }) => isWaypoint(object)) ? ["waypoint"] : []),
        ...(fetches ? ["outside-host"] : []),
        ...(set ? ["mesh-setting"] : []),
      ];
      return toYaml({
        apiVersion: "meshproof.dev/v1alpha1",
        kind: "Scenario",
        metadata: {
          name: ticket.name,
          title: `The mesh answers the ticket ${ticket.name} as it did`,
          source: `the ticket ${ticket.name}, translated by meshproof repro`,
          level: "extended",
          ...(features.length > 0 ? { features } : {}),
          tags: ["ticket"],
        },
        spec: {
          workloads: [
            STAND_IN,
            ...(fetches ? ["outside-host"] : []),
            ...(asked ? [AUTHORIZER] : []),
            "nginx-proxy",
            ...(forExport ? ["outside", "sleep"] : []),
          ],
          ...(Object.keys(tokens).length > 0 ? { tokens } : {}),
          ...(set ? { mesh } : {}),
          steps: [
            {
              name: "the ticket's policies",
              ...(applied.length > 0 ? { apply: applied.map(({ file }) => file) } : {}),
              checks: forExport || others.length === 0 ? matrix : [matrix, ...others],
            },
          ],
        },
      });
    },
  };
}

function byName(a: TicketObject, b: TicketObject): number {
  const key = ({ kind, metadata }: TicketObject): string => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
  return key(a) < key(b) ? -1 : 1;
}

function dedupe(differences: readonly Difference[]): Difference[] {
  return [...new Map(differences.map((one) => [JSON.stringify(one), one])).values()];
}

/** Assigns the ticket's clients to the three client places of a scenario. */
function placesOf({ caller, others }: Topology): Translation["callers"] {
  // Outside the mesh the scenario's own places are used, with their own names.
  const elsewhere = caller.sidecar ? ("neighbour" as const) : ("outside" as const);
  const own = caller.kind === "pod" && caller.namespace !== "meshproof-outside";
  const main = { place: own ? ("sleep" as const) : elsewhere, caller };
  return [
    main,
    ...others.map(({ caller: one }) => ({
      place: one.sidecar || one.ambient ? ("neighbour" as const) : ("outside" as const),
      caller: one,
    })),
  ];
}

/** Headers by name, with Host if it differs from the URL's. */
function headersOf(
  request: TicketRequest,
  way: Topology["way"],
  forExport: boolean,
): Record<string, string | string[]> {
  const host = request.host ?? (way.kind === "gateway" && (!way.tls || forExport) ? request.authority : undefined);
  const all = [...(host === undefined ? [] : [["Host", host] as const]), ...request.headers];
  return Object.fromEntries(
    [...Map.groupBy(all, ([name]) => name)].map(([name, same]) => [
      name,
      same.length === 1 ? same[0]![1] : same.map(([, value]) => value),
    ]),
  );
}

function cellOf({ status, by }: Expectation): unknown {
  const usual = status === 401 ? "authentication" : status === 403 ? "authorization" : "workload";
  return by === usual ? status : { status, by };
}
