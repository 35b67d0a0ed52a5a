/** Turns a ticket into an ordinary scenario folder. Pure: manifests in, files out. */

import { isDeepStrictEqual } from "node:util";
import { stringify } from "yaml";
import { redactValue } from "../safe/redact.ts";
import type { Expectation } from "../model/scenario.ts";
import type { TokenPlace, TokenSpec, TokenVariant } from "../model/token.ts";
import type { Algorithm } from "../model/token.ts";
import type { TicketRequest } from "./curl-line.ts";
import { issuersOf, placeOf, rewriteRules, slug, type JwtRule, type MadeIssuer } from "./issuers.ts";
import { settleRoutes } from "./routes.ts";
import { otherSpellings } from "./spellings.ts";
import { ownLabels, standIn, STAND_IN, type StandIn } from "./stand-in.ts";
import { algorithmOf, shiftToNow, type GivenToken } from "./token.ts";

/** A Kubernetes object as it stands in a ticket. */
export interface TicketObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
}

export interface Ticket {
  /** Small letters, digits and hyphens. */
  readonly name: string;
  readonly objects: readonly TicketObject[];
  readonly request: TicketRequest;
  readonly token?: GivenToken;
  /** Whether a `jwksUri` answers. */
  readonly jwks: "reachable" | "unreachable";
  /** The text of scenarios/workloads/nginx-proxy, for the image of the stand-in. */
  readonly image: string;
}

export interface Translation {
  /** `tickets/<name>` */
  readonly id: string;
  /** Text by path below the folder `scenarios`, but scenario.yaml. */
  readonly files: ReadonlyMap<string, string>;
  readonly columns: readonly string[];
  /** The first is the request of the ticket; the others are paths that a workload may take for the same. */
  readonly rows: readonly string[];
  /** The column that stands for the request as given. */
  readonly given: string;
  readonly issuers: readonly MadeIssuer[];
  readonly rules: readonly JwtRule[];
  /** The policies as they are called here, and in the ticket. */
  readonly names: readonly { readonly kind: string; readonly here: string; readonly there: string }[];
  readonly standIn: StandIn;
  readonly changes: readonly string[];
  readonly left: readonly string[];
  /** scenario.yaml with what each cell expects. */
  scenario(expect: (row: number, column: number) => Expectation): string;
}

const POLICIES = ["RequestAuthentication", "AuthorizationPolicy", "PeerAuthentication"];
const ROUTES = ["VirtualService", "Gateway", "ServiceEntry", "DestinationRule"];
const WORKLOADS = ["Service", "Deployment", "StatefulSet", "DaemonSet", "Pod"];

const ROOT = "istio-system";

/** What a ticket becomes. */
export function translate(ticket: Ticket): Translation {
  const changes: string[] = [...(ticket.request.changed ?? [])];
  const left: string[] = [...ticket.request.left];
  const note = (list: string[], text: string): void => void (list.includes(text) || list.push(text));
  const { objects, request } = ticket;
  for (const { kind, metadata } of objects)
    if (![...POLICIES, ...ROUTES, ...WORKLOADS].includes(kind))
      note(left, `${kind} ${metadata.name}: this kind is not carried over`);

  const carried = objects.filter(({ kind }) => POLICIES.includes(kind) || ROUTES.includes(kind));
  const workload = standIn(objects, request, ticket.image);
  changes.push(...workload.changes);
  left.push(...workload.left);

  const home = homeOf(objects, request);
  const move = (namespace: string | undefined, what: string): string => {
    if (namespace === ROOT) return ROOT;
    if (namespace === undefined || namespace === home.name || !home.sure) {
      if (namespace !== undefined) note(changes, `namespace ${namespace} became \${ns}`);
      return "${ns}";
    }
    note(
      changes,
      `${what} is in namespace ${namespace}, not in ${home.name} like the workload: it went to another namespace`,
    );
    return "${outside.ns}";
  };

  const issuers = issuersOf(objects, ticket.token);
  changes.push(...issuers.changes);
  const toGateway = carried.some((one) => one.kind === "Gateway" || atGateway(one));
  const names: { kind: string; here: string; there: string }[] = [];
  const files = new Map<string, string>();
  const folder = `tickets/${ticket.name}`;
  const applied: string[] = [];
  const write = (object: TicketObject): void => {
    const file = `${String(applied.length + 1).padStart(2, "0")}-${slug(object.kind)}-${slug(object.metadata.name)}.yaml`;
    applied.push(file);
    files.set(`${folder}/${file}`, toYaml(object));
  };
  const rules: JwtRule[] = [];
  for (const object of carried) {
    const { kind, metadata } = object;
    const what = `${kind} ${metadata.name}`;
    const gateway = atGateway(object);
    if (gateway && metadata.namespace !== ROOT)
      note(changes, `${what} chooses the ingress gateway: it went to ${ROOT}, where ours is`);
    // A policy without effect may be in the wrong namespace; routes work from any.
    const namespace = gateway ? ROOT : POLICIES.includes(kind) ? move(metadata.namespace, what) : "${ns}";
    names.push({
      kind,
      here: `${namespace}/${metadata.name}`,
      there: metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`,
    });
    let spec: Record<string, unknown> = structuredClone({ ...object.spec });
    if (gateway) spec["selector"] = { matchLabels: { istio: "ingressgateway" } };
    if (kind === "RequestAuthentication") {
      const rewritten = rewriteRules(what, spec, issuers.made, ticket.jwks);
      spec = rewritten.spec;
      rules.push(...rewritten.rules);
      for (const change of rewritten.changes) note(changes, change);
    }
    if (POLICIES.includes(kind)) spec = settlePolicy(what, spec, home.name, workload, changes, left);
    else {
      const settled = settleRoutes(what, kind, spec, workload);
      spec = settled.spec;
      for (const change of settled.changes) note(changes, change);
      // A route may set a header that is a credential. What policies compare stays.
      const safe = redactValue(spec) as Record<string, unknown>;
      if (!isDeepStrictEqual(safe, spec)) note(changes, `${what}: what may be a credential was taken out`);
      spec = safe;
    }
    const annotations = Object.entries(metadata.annotations ?? {}).filter(([key]) => key === "istio.io/dry-run");
    write({
      apiVersion: object.apiVersion,
      kind,
      metadata: {
        name: metadata.name,
        namespace,
        ...(annotations.length > 0 ? { annotations: Object.fromEntries(annotations) } : {}),
      },
      spec,
    });
  }
  if (toGateway && !carried.some(({ kind }) => kind === "VirtualService")) {
    for (const object of defaultRoute(workload, !carried.some(({ kind }) => kind === "Gateway"), carried))
      write(object);
    changes.push("no VirtualService was given: one was added that routes everything to the stand-in");
  }

  for (const { name, iss, keys } of issuers.made) files.set(`issuers/${name}.yaml`, toYaml({ iss, keys }));
  files.set(`workloads/${STAND_IN}/${STAND_IN}.yaml`, workload.yaml);

  const own = `${request.method} ${request.path}`;
  const rows = [own, ...otherSpellings(request.path).map((path) => `${request.method} ${path}`)];
  if (rows.length > 1)
    changes.push(`${rows.slice(1).join(" and ")} was added: many servers take it for the same as the ticket's path`);
  const tokens = tokensOf(ticket, rules, issuers.made, changes);
  const columns = ["none", ...Object.keys(tokens)];
  const to = toGateway ? "ingress" : STAND_IN;
  const from = toGateway ? "outside" : "sleep";
  changes.push(
    toGateway
      ? "the request comes from a pod outside the mesh, over HTTP to the ingress gateway"
      : `the request comes from a pod with a sidecar (service account sleep) in the workload's namespace`,
  );
  const headers = [
    ...(toGateway && request.host !== undefined ? [["Host", request.host] as const] : []),
    ...request.headers,
  ];
  const fetches = [...files.values()].some((text) => text.includes("@outside-http"));
  const features = [...(toGateway ? ["ingress-gateway"] : []), ...(fetches ? ["outside-host"] : [])];
  const workloads = [STAND_IN, ...(fetches ? ["outside-host"] : []), "nginx-proxy", "outside", "sleep"];
  return {
    id: folder,
    files,
    columns,
    rows,
    given: columns.includes("given") ? "given" : "none",
    issuers: issuers.made,
    rules,
    names,
    standIn: workload,
    changes,
    left,
    scenario: (expect) =>
      toYaml({
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
          workloads,
          ...(Object.keys(tokens).length > 0 ? { tokens } : {}),
          steps: [
            {
              name: "the ticket's policies",
              ...(applied.length > 0 ? { apply: applied } : {}),
              checks: {
                title: "ticket",
                from,
                to,
                ...(headers.length > 0 ? { headers: groupHeaders(headers) } : {}),
                columns,
                rows: Object.fromEntries(
                  rows.map((name, row) => [name, columns.map((_, column) => cellOf(expect(row, column)))]),
                ),
              },
            },
          ],
        },
      }),
  };
}

function cellOf({ status, by }: Expectation): unknown {
  const usual = status === 401 ? "authentication" : status === 403 ? "authorization" : "workload";
  return by === usual ? status : { status, by };
}

function groupHeaders(headers: readonly (readonly [string, string])[]): Record<string, string | string[]> {
  return Object.fromEntries(
    [...Map.groupBy(headers, ([name]) => name)].map(([name, same]) => [
      name,
      same.length === 1 ? same[0]![1] : same.map(([, value]) => value),
    ]),
  );
}

/** Where the workload is: what says so, else the namespace that most objects are in. */
function homeOf(
  objects: readonly TicketObject[],
  { host }: TicketRequest,
): { readonly name: string | undefined; readonly sure: boolean } {
  const workload = objects.find(({ kind, metadata }) => WORKLOADS.includes(kind) && metadata.namespace !== undefined);
  if (workload !== undefined) return { name: workload.metadata.namespace, sure: true };
  const spaces = objects
    .map(({ metadata }) => metadata.namespace)
    .filter((name) => name !== undefined && name !== ROOT);
  const asked = /^[^.:]+\.([^.:]+)(\.svc(\.cluster\.local)?)?(:\d+)?$/.exec(host ?? "")?.[1];
  if (asked !== undefined && spaces.includes(asked)) return { name: asked, sure: true };
  const counted = [...Map.groupBy(spaces, (name) => name)].sort(([, a], [, b]) => b.length - a.length);
  return { name: counted[0]?.[0], sure: false };
}

/** Whether a policy is for the ingress gateway. */
function atGateway({ kind, spec }: TicketObject): boolean {
  if (!POLICIES.includes(kind)) return false;
  const labels = (spec?.["selector"] as { matchLabels?: Record<string, string> } | undefined)?.matchLabels ?? {};
  return /ingress/.test(labels["istio"] ?? "") || /ingress-?gateway/.test(labels["app"] ?? "");
}

/** Lists of names by field: what `source` and `operation` of a rule are. */
type Fields = Record<string, string[] | undefined>;

/** Names in a policy that mean something in the ticket's cluster only. */
function settlePolicy(
  what: string,
  spec: Record<string, unknown>,
  home: string | undefined,
  workload: StandIn,
  changes: string[],
  left: string[],
): Record<string, unknown> {
  if (spec["targetRef"] !== undefined || spec["targetRefs"] !== undefined) {
    left.push(
      `${what}: targetRef is for gateways and waypoints of the Gateway API, which are not here; it holds for the namespace`,
    );
    delete spec["targetRef"];
    delete spec["targetRefs"];
  }
  const selector = spec["selector"] as { matchLabels?: Record<string, string> } | undefined;
  if (selector?.matchLabels) spec["selector"] = { ...selector, matchLabels: ownLabels(selector.matchLabels) };
  const rules = (spec["rules"] ?? []) as { from?: { source?: Fields }[]; to?: { operation?: Fields }[] }[];
  for (const { source: fields } of rules.flatMap((rule) => rule?.from ?? [])) {
    if (fields === undefined) continue;
    for (const field of ["namespaces", "notNamespaces"]) {
      if (!fields[field]) continue;
      fields[field] = fields[field].map((name) => (name === home ? "${ns}" : name));
      changes.push(`${what}: ${field} [${fields[field].join(", ")}] is compared with the sender's, which is \${ns}`);
    }
    for (const field of ["principals", "notPrincipals", "serviceAccounts", "notServiceAccounts"]) {
      if (!fields[field]) continue;
      if (home !== undefined)
        fields[field] = fields[field].map((name) =>
          name.replace(`/ns/${home}/`, "/ns/${ns}/").replace(new RegExp(`^${home}/`), "${ns}/"),
        );
      changes.push(
        `${what}: ${field} [${fields[field].join(", ")}] is compared with the sender's, which is cluster.local/ns/\${ns}/sa/sleep`,
      );
    }
    for (const field of ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"])
      if (fields[field])
        left.push(`${what}: ${field} is compared with the address of a pod of ours, not with the reporter's`);
  }
  for (const { operation: fields } of rules.flatMap((rule) => rule?.to ?? [])) {
    if (fields === undefined) continue;
    for (const field of ["hosts", "notHosts"])
      if (fields[field])
        fields[field] = fields[field].map((host) => workload.rename(host, (text) => changes.push(`${what}: ${text}`)));
  }
  return spec;
}

function defaultRoute(
  workload: StandIn,
  gateway: boolean,
  carried: readonly TicketObject[],
): (TicketObject & { spec: object })[] {
  const apiVersion = "networking.istio.io/v1";
  const name = gateway ? STAND_IN : carried.find(({ kind }) => kind === "Gateway")!.metadata.name;
  const open: TicketObject & { spec: Record<string, unknown> } = {
    apiVersion,
    kind: "Gateway",
    metadata: { name: STAND_IN, namespace: "${ns}" },
    spec: {
      selector: { istio: "ingressgateway" },
      servers: [{ port: { number: 80, name: "http", protocol: "HTTP" }, hosts: ["*"] }],
    },
  };
  const route = {
    apiVersion,
    kind: "VirtualService",
    metadata: { name: STAND_IN, namespace: "${ns}" },
    spec: {
      hosts: ["*"],
      gateways: [name],
      http: [{ route: [{ destination: { host: workload.host, port: { number: workload.port } } }] }],
    },
  };
  return gateway ? [open, route] : [route];
}

/** The tokens of the matrix. */
function tokensOf(
  { token, jwks }: Ticket,
  rules: readonly JwtRule[],
  issuers: readonly MadeIssuer[],
  changes: string[],
): Record<string, TokenSpec> {
  const rule = rules.find(({ iss }) => iss === token?.claims["iss"]) ?? rules[0];
  const tokens: Record<string, TokenSpec> = {};
  const shifted = shiftToNow(token?.claims ?? {});
  const place = rule && placeOf(rule);
  const at: { in?: TokenPlace } = place === undefined ? {} : { in: place };
  if (place !== undefined && token !== undefined)
    changes.push(`the token is sent where ${rule!.what} looks for it: ${JSON.stringify(place)}`);
  if (token !== undefined) {
    const issuer = issuers.find(({ iss }) => iss === token.claims["iss"]) ?? issuers.at(-1)!;
    const alg = algorithmOf(token);
    const header = strangeHeader(token, alg);
    const known = issuer.keys.find(
      (key) =>
        (alg === undefined || key.alg === alg) &&
        (token.header["kid"] === undefined || key.kid === token.header["kid"]),
    );
    const stranger = issuer.fromJwks && known === undefined;
    const signing = known?.alg ?? issuer.keys[0]!.alg;
    if (stranger)
      changes.push(
        `no key of the ticket's JWKS has the token's kid ${JSON.stringify(token.header["kid"])} and alg ${JSON.stringify(token.header["alg"])}: it is signed by a key that is not in ours either`,
      );
    tokens["given"] = {
      issuer: issuer.name,
      alg: signing,
      ...shifted.spec,
      ...(stranger
        ? {
            signedBy: "unknown-key",
            header: { ...(token.header["kid"] === undefined ? {} : { kid: token.header["kid"] }) },
          }
        : {}),
      ...(header === undefined ? {} : { header }),
      ...at,
    };
    changes.push(
      ...shifted.changes,
      "the token was made anew from its header and claims and signed by a key of ours: its signature was not looked at",
    );
  }
  if (rule === undefined) {
    if (token === undefined)
      changes.push("no RequestAuthentication and no token was given: there is only the request without a token");
    return tokens;
  }
  const issuer = issuers.find(({ iss }) => iss === rule.iss)!;
  const { iss: _, aud, ...claims } = (shifted.spec.claims ?? {}) as Record<string, unknown>;
  const fits = rule.audiences.length === 0 || [aud].flat().some((one) => rule.audiences.includes(String(one)));
  const base: TokenSpec = {
    issuer: issuer.name,
    alg: tokens["given"]?.issuer === issuer.name ? tokens["given"].alg! : issuer.keys[0]!.alg,
    claims: {
      ...(token === undefined ? {} : claims),
      exp: undefined,
      iat: undefined,
      ...(token !== undefined && claims["sub"] !== null ? {} : { sub: "somebody" }),
      ...(fits ? (aud === undefined ? {} : { aud }) : { aud: rule.audiences[0] }),
    },
    ...at,
  };
  const valid: TokenSpec = { ...base, claims: withoutUndefined(base.claims!) };
  const vary = (variant: TokenVariant): TokenSpec => ({ ...valid, variant });
  if (jwks === "unreachable")
    changes.push("every jwksUri leads to a place that answers 500, as --jwks unreachable asks");
  return {
    ...tokens,
    valid,
    expired: vary("expired"),
    "other-issuer": vary("other-issuer"),
    "other-audience": { ...valid, claims: { ...valid.claims, aud: "https://other-audience.example" } },
    "other-key": vary("other-key"),
    "other-algorithm": vary("other-algorithm"),
  };
}

/** Header fields of a token that our own would not have; undefined where there are none. */
function strangeHeader({ header }: GivenToken, alg: Algorithm | undefined): Record<string, unknown> | undefined {
  const strange = header["alg"] !== undefined && alg === undefined ? { alg: header["alg"] } : undefined;
  return strange;
}

function withoutUndefined(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}

function toYaml(value: unknown): string {
  return stringify(value, { aliasDuplicateObjects: false, lineWidth: 0 });
}
