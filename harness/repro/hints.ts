/** Finds well-known pitfalls in a ticket's YAML and request. They do not change the answer. */

import { at } from "../oracle/tree.ts";
import { isOfGatewayApiGroup } from "../model/target.ts";
import type { Hint } from "../model/hint.ts";
import {
  fitsHost,
  hostOf,
  inCluster,
  isAtApiGateway,
  isAtGateway,
  isForWaypoint,
  isOf,
  selectorOf,
  targetPortsOf,
} from "./services.ts";
import type { Topology } from "./topology.ts";
import { isWaypoint } from "../model/waypoint.ts";
import { waypointHints } from "./waypoints.ts";
import type { JwtRule } from "./issuers.ts";
import type { Ticket, TicketObject } from "./ticket.ts";
import { groupOf, isKind, isPolicy, refOf } from "./understood.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

type Fields = Readonly<Record<string, readonly unknown[] | undefined>>;

interface Rule {
  readonly from?: readonly { readonly source?: Fields }[];
  readonly to?: readonly { readonly operation?: Fields }[];
  readonly when?: readonly {
    readonly key?: string;
    readonly values?: readonly unknown[];
    readonly notValues?: readonly unknown[];
  }[];
}

interface Destination {
  readonly host?: string;
  readonly trafficPolicy?: { readonly tls?: { readonly mode?: string } };
}

/** Fields of operations and sources that work only for HTTP. */
const HTTP_ONLY = /^(not)?(hosts|methods|paths|requestPrincipals)$/i;

export function hintsOf(
  { objects, request, tokens }: Ticket,
  topology: Topology,
  rules: readonly JwtRule[],
  nsOf: (object: TicketObject) => string,
): Hint[] {
  const hints: Hint[] = [];
  const add = (hint: Hint): void =>
    void (hints.some((one) => JSON.stringify(one) === JSON.stringify(hint)) || hints.push(hint));
  const claims = tokens[0]?.claims ?? {};
  const { way } = topology;
  if (way.kind === "egress" && objects.some((one) => one.kind === "AuthorizationPolicy"))
    add({ kind: "egress-not-checked", host: way.host });
  for (const { place } of request.tokens)
    if ("cookie" in place && !rules.some(({ fromCookies }) => fromCookies.includes(place.cookie)) && rules.length > 0)
      add({ kind: "cookie-not-looked-at", cookie: place.cookie });
  if (request.method === "OPTIONS" && request.headers.some(([name]) => /^access-control-request-method$/i.test(name)))
    add({ kind: "preflight" });
  if (way.kind === "gateway") tokenRemoved(objects, topology, nsOf, add);
  for (const object of objects.filter((one) => isKind(one, "DestinationRule"))) {
    const { host = "", trafficPolicy } = (object.spec ?? {}) as Destination;
    const mode = trafficPolicy?.tls?.mode;
    const [name, namespace = nsOf(object)] = inCluster(host, new Set(topology.namespaces.keys())) ?? [];
    const strict = name === undefined ? undefined : strictIn(namespace, objects, nsOf);
    if (mode !== undefined && mode !== "ISTIO_MUTUAL" && strict !== undefined)
      add({ kind: "tls-against-mtls", object: refOf(object), mode, strict: refOf(strict) });
  }
  for (const object of objects) {
    const spec = object.spec ?? {};
    if (object.kind === "RequestAuthentication")
      for (const rule of (spec["jwtRules"] ?? []) as { issuer?: string; jwks?: unknown; jwksUri?: string }[]) {
        const { issuer = "", jwks, jwksUri } = rule;
        if (jwks === undefined && jwksUri === undefined && !/^https?:\/\//.test(issuer))
          add({ kind: "no-url-issuer", iss: issuer });
        const strict = jwksUri === undefined ? undefined : strictFor(jwksUri, objects, topology, nsOf);
        if (strict !== undefined) add({ kind: "jwks-behind-mtls", iss: issuer, ...strict });
      }
    if (object.kind === "PeerAuthentication" && isPolicy(object)) {
      const chosen = selectorOf(object);
      for (const port of Object.keys(spec["portLevelMtls"] ?? {}).map(Number)) servicePort(object, port, chosen);
    }
    if (object.kind !== "AuthorizationPolicy" || groupOf(object.apiVersion) !== "security.istio.io") continue;
    if (spec["action"] === "CUSTOM" && rules.length > 0) add({ kind: "custom-before-token", object: refOf(object) });
    const chosen = selectorOf(object);
    if (isAtGateway(object, objects) && !isAtApiGateway(object) && nsOf(object) !== ROOT_NAMESPACE)
      add({ kind: "other-namespace", object: refOf(object), needed: "the gateway's" });
    for (const gateway of objects.filter((one) => one.kind === "Gateway" && isOfGatewayApiGroup(one)))
      if (
        (!isWaypoint(gateway) || isForWaypoint(object, [gateway])) &&
        nsOf(gateway) !== nsOf(object) &&
        nsOf(object) !== ROOT_NAMESPACE
      )
        add({ kind: "other-namespace", object: refOf(object), needed: nsOf(gateway) });
    const all = ((spec["rules"] ?? []) as (Rule | null)[]).filter((rule) => rule !== null);
    for (const rule of all) {
      for (const { source = {} } of rule.from ?? []) {
        for (const [field, values = []] of Object.entries(source))
          for (const value of values.map(String)) if (/.\*./.test(value)) add({ kind: "star-inside", value, field });
        for (const value of [...(source["requestPrincipals"] ?? []), ...(source["notRequestPrincipals"] ?? [])].map(
          String,
        )) {
          const iss = String(claims["iss"] ?? "");
          const joined = `${iss}/${String(claims["sub"] ?? "")}`;
          const slash = value.lastIndexOf("/");

          if (
            iss !== "" &&
            value !== "*" &&
            slash > 0 &&
            value.slice(0, slash) !== iss &&
            joined.startsWith(value.replace(/\*$/, ""))
          )
            add({ kind: "principal-last-slash", value, iss });
        }
      }
      for (const { operation = {} } of rule.to ?? []) {
        for (const method of (operation["methods"] ?? []).map(String))
          if (method.includes("/")) add({ kind: "grpc-method", method });
        // At a waypoint ports are those of the Service.
        for (const port of isForWaypoint(object, objects) ? [] : (operation["ports"] ?? []).map(Number))
          servicePort(object, port, chosen);
        for (const [field, values = []] of Object.entries(operation))
          for (const value of values.map(String)) {
            if (/paths$/i.test(field) && value.includes("?")) add({ kind: "path-without-query", path: value });
            if (/methods$/i.test(field) && value !== value.toUpperCase() && !value.includes("/"))
              add({ kind: "method-case", method: value });
            if (/.\*./.test(value) && !(/paths$/i.test(field) && /\{/.test(value)))
              add({ kind: "star-inside", value, field });
          }
      }
      for (const { key = "", values = [], notValues = [] } of rule.when ?? []) {
        const claim = /^request\.auth\.claims\[([^\]]+)\]$/.exec(key)?.[1];
        if (claim === undefined) continue;
        if (claim === "scope" && [...values, ...notValues].some((value) => String(value).includes(" ")))
          add({ kind: "scope-is-split", claim });
        const held = claims[claim];
        const inner = at(claims, ...claim.split("."));
        if (held === undefined && claim.includes(".") && inner !== undefined) add({ kind: "claim-is-nested", claim });
        if (typeof held === "number" || typeof held === "boolean")
          add({ kind: "claim-not-text", claim, type: typeof held });
        if (
          typeof held === "string" &&
          held.includes(" ") &&
          claim !== "scope" &&
          values.some((value) => held.split(" ").includes(String(value)))
        )
          add({ kind: "scope-is-split", claim });
      }
    }
    // One rule names only who sends and another only what: each allows alone.
    const about = (part: keyof Rule): boolean => all.some((rule) => rule[part] !== undefined && onlyHas(rule, part));
    if (/^(ALLOW)?$/.test(String(spec["action"] ?? "")) && about("from") && (about("to") || about("when")))
      add({ kind: "hyphen-makes-or", object: refOf(object) });
    const fields = [
      ...new Set(
        all.flatMap((rule) =>
          [
            ...(rule.from ?? []).flatMap(({ source = {} }) => Object.keys(source)),
            ...(rule.to ?? []).flatMap(({ operation = {} }) => Object.keys(operation)),
            ...(rule.when ?? []).flatMap(({ key = "" }) => (/^request\./.test(key) ? [key] : [])),
          ].filter((field) => HTTP_ONLY.test(field) || field.startsWith("request.")),
        ),
      ),
    ];
    const raw =
      (way.kind === "gateway" && way.passthrough) ||
      (way.kind === "service" && /^(tcp|tls|https|mongo|mysql|redis)(-|$)/.test(way.port.name ?? ""));
    if (raw && fields.length > 0) add({ kind: "tcp-drops-http", object: refOf(object), fields });
  }
  for (const hint of waypointHints(objects, topology, nsOf)) add(hint);
  return hints;

  /** A port of the Service that is not a port of the container. */
  function servicePort(object: TicketObject, port: number, chosen: Readonly<Record<string, string>>): void {
    for (const service of topology.services) {
      if (
        service.object === undefined ||
        service.namespace !== nsOf(object) ||
        !service.ports.some((one) => one.port === port)
      )
        continue;
      const workload = topology.workloads.find(
        (one) => isOf(service, one) && Object.entries(chosen).every(([key, value]) => one.labels[key] === value),
      );
      if (workload === undefined) continue;
      const container = targetPortsOf(service, workload);
      if (!container.includes(port)) add({ kind: "service-port", object: refOf(object), port, container });
    }
  }
}

function onlyHas(rule: Rule, part: keyof Rule): boolean {
  return Object.entries(rule).every(([key, value]) => key === part || value === undefined);
}

/** A RequestAuthentication at the gateway that removes the token for which one at the workload looks; without a selector it is at both. */
function tokenRemoved(
  objects: readonly TicketObject[],
  { way, workloads }: Topology,
  nsOf: (object: TicketObject) => string,
  add: (hint: Hint) => void,
): void {
  const rulesOf = (object: TicketObject) =>
    (object.spec?.["jwtRules"] ?? []) as { issuer?: string; forwardOriginalToken?: boolean }[];
  const gateway = way.kind === "gateway" ? (way.api?.namespace ?? ROOT_NAMESPACE) : ROOT_NAMESPACE;
  const behind = [ROOT_NAMESPACE, ...workloads.map(({ namespace }) => namespace)];
  // One of a waypoint holds neither at the gateway nor at the workload.
  const all = objects.filter((one) => isKind(one, "RequestAuthentication") && !isForWaypoint(one, objects));
  const named = all.filter((one) => isAtGateway(one, objects));
  const inner = all.filter((one) => !named.includes(one) && behind.includes(nsOf(one)));
  const wide = inner.filter((one) => Object.keys(selectorOf(one)).length === 0);
  const outer = [...named, ...wide.filter((one) => [ROOT_NAMESPACE, gateway].includes(nsOf(one)))];
  const asked = new Set(inner.flatMap((one) => rulesOf(one).map(({ issuer }) => issuer)));
  for (const object of outer)
    for (const { issuer = "", forwardOriginalToken = false } of rulesOf(object))
      if (!forwardOriginalToken && asked.has(issuer))
        add({ kind: "token-not-forwarded", object: refOf(object), iss: issuer });
}

/** A PeerAuthentication that requires mTLS for the Service that serves the keys, but istiod has no sidecar. */
function strictFor(
  uri: string,
  objects: readonly TicketObject[],
  topology: Topology,
  nsOf: (object: TicketObject) => string,
) {
  const host = hostOf(uri) ?? "";
  const [name, namespace] = inCluster(host, new Set(topology.namespaces.keys())) ?? [];
  if (name === undefined || namespace === undefined || !fitsHost("*", host)) return undefined;
  const strict = strictIn(namespace, objects, nsOf);
  return strict && { service: `${namespace}/${name}`, object: refOf(strict) };
}

function strictIn(
  namespace: string,
  objects: readonly TicketObject[],
  nsOf: (object: TicketObject) => string,
): TicketObject | undefined {
  return objects.find(
    (one) =>
      isKind(one, "PeerAuthentication") &&
      [namespace, ROOT_NAMESPACE].includes(nsOf(one)) &&
      (one.spec?.["mtls"] as { mode?: string } | undefined)?.mode === "STRICT",
  );
}
