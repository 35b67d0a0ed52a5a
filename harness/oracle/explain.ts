/** Evaluates a proxy's own config for a request, filter by filter, in Envoy's order. Pure. */

import { isIP } from "node:net";
import { redact } from "../safe/redact.ts";
import { bootstrapOf, envoyOf, type Envoy } from "./envoy.ts";
import { asGrpc, isGrpc, judgeCodec } from "./codec.ts";
import { judgeTokens, type JwtOutcome } from "./jwt.ts";
import { findChain, type Chain } from "./listeners.ts";
import { FRAGMENT_FLAG, normalizePath, type Normalized } from "./path.ts";
import { judgeRbac, refOf, type Judged } from "./rbac.ts";
import { findRoute } from "./routes.ts";
import type { Headers } from "./token-places.ts";
import { notRead, undecidedBy } from "./undecided.ts";
import { at, list, record, text } from "./tree.ts";
import type { Admission, Decision, Explanation, ProviderFact, RouteFact, RuleFact } from "../model/explanation.ts";
import type { Facts, OracleRequest } from "./types.ts";

/** Config types of HTTP filters that istiod adds and that never deny a request. */
const HARMLESS: readonly string[] = [
  "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
  "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb",
  "envoy.extensions.filters.http.cors.v3.Cors",
  "envoy.extensions.filters.http.router.v3.Router",
  "envoy.extensions.filters.http.set_filter_state.v3.Config",
  "istio.envoy.config.filter.http.alpn.v2alpha1.FilterConfig",
  "stats.PluginConfig",
  "io.istio.http.peer_metadata.Config",
];

/** The same for filters of connections. */
const HARMLESS_NETWORK: readonly string[] = [
  "envoy.tcp.metadataexchange.config.MetadataExchange",
  "stats.PluginConfig",
];

/** What Envoy takes for the address of a connection to an internal listener; it is in no range. */
const INTERNAL = "envoy://internal_client_address/";

/**
 * What the proxy does with the request, and why.
 * @param dump Envoy's admin `config_dump`, whole or only its `dynamic_listeners`; without routes and bootstrap the decisions that
 *   need them are undecided
 * @param now seconds since 1970
 */
export function explainRequest(dump: unknown, request: OracleRequest, now: number): Explanation {
  const chain = findChain(dump, request);
  const nothing = {
    path: redact(request.path),
    filtersAsked: false,
    tokensAsked: false,
    providers: [],
    rules: [],
  };
  if ("decision" in chain) return { ...nothing, decision: chain.decision };
  const { manager, listener, port, tunnel } = chain;
  const peer = request.peer === undefined ? undefined : request.peer.replace(/^(?!spiffe:\/\/)/, "spiffe://");
  const { destinationIp, serverName } = request;
  const sourceIp = tunnel ? INTERNAL : request.sourceIp;
  const connection = { peer, tunnel, sourceIp, destinationIp, serverName, port };
  const envoy = envoyOf(dump);
  const judged = judgeConnection(chain, connection, envoy);
  if (manager === undefined || judged.decision !== undefined) {
    const decision = judged.decision ?? admit(admitted(judged.rules));
    return { ...nothing, listener, filtersAsked: true, rules: judged.rules, decision };
  }
  const refused = judgeCodec(manager, request);
  if (refused !== undefined) return { ...nothing, listener, decision: refused };
  const headers = readHeaders(request.headers);
  const answer = isGrpc(headers.get("content-type")?.[0]) ? asGrpc : (decision: Decision) => decision;
  const normalize = (raw: string): Normalized => normalizePath(raw, manager, rejectsFragment(dump), envoy);
  const before = normalize(request.path);
  // The second proxy may read what the first one has unescaped, as `..;x` of `%2e%2e;x`.
  const normalized = request.proxied === true && "path" in before ? normalize(before.path) : before;
  if ("unknown" in normalized) return { ...nothing, listener, decision: undecidedBy(normalized.unknown) };
  if ("status" in normalized) {
    const { status, details } = normalized;
    return {
      ...nothing,
      listener,
      decision: answer({ verdict: "refused", status, by: "proxy", details, reason: { kind: "path-refused" } }),
    };
  }
  const sent: Headers = new Map(headers);
  const remoteIp = remoteAddress(manager, headers, tunnel ? undefined : sourceIp);
  const { path } = normalized;
  const authority = request.authority ?? headers.get("host")?.[0];
  const facts = (tokens: JwtOutcome | undefined): Facts => ({
    method: request.method,
    path: tokens?.path ?? path,
    authority,
    headers,
    ...connection,
    remoteIp,
    edge: at(manager, "use_remote_address") === true,
    payload: tokens?.payload,
    envoy,
  });

  const providers: ProviderFact[] = [];
  const rules: RuleFact[] = [...judged.rules];
  let tokens: JwtOutcome | undefined;
  let decision: Decision | undefined;
  for (const filter of list(at(manager, "http_filters"))) {
    const config = at(filter, "typed_config");
    const type = typeOf(config);
    if (type.endsWith(".jwt_authn.v3.JwtAuthentication")) {
      tokens = judgeTokens(config, { method: request.method, path, headers, claims: request.claims, now });
      providers.push(...tokens.providers);
      decision ??= decideTokens(tokens);
    } else if (type.endsWith(".filters.http.rbac.v3.RBAC")) {
      const judged = judgeRbac(config, facts(tokens), 403);
      rules.push(...judged.rules);
      decision ??= judged.decision;
    } else if (type.endsWith(".ext_authz.v3.ExtAuthz")) {
      const asked = rules.filter((rule) => rule.action === "CUSTOM" && rule.matched !== false);
      if (asked.length > 0) decision ??= undecidedBy({ kind: "external-authorizer", rule: refOf(asked[0]!) });
    } else if (!HARMLESS.includes(type) && !isIdleFault(type, config)) {
      decision ??= undecidedBy(notRead("filter", text(at(filter, "name"))));
    }
  }
  const seen = {
    listener,
    path: redact(path),
    ...(tokens !== undefined &&
      tokens.path !== path && { sentPath: redact(Buffer.from(tokens.path, "latin1").toString()) }),
    filtersAsked: true,
    tokensAsked: tokens?.asked === true,
    providers,
    rules,
  };
  if (decision !== undefined) return { ...seen, decision: answer(decision) };
  // Envoy chooses the route before the filters run, and again after a token if `clear_route_cache` is set.
  const routed = tokens?.clearsRoute === true ? facts(tokens) : { ...facts(undefined), headers: sent };
  const route = findRoute(dump, manager, routed, request.peer !== undefined || request.serverName !== undefined);
  const unfit = route.kind === "cluster" ? (findUnfit(headers, sent) ?? findUnfitPath(tokens?.path, path)) : undefined;
  const routedTo = unfit === undefined ? decideRoute(route, admitted(rules)) : refuseHeader(unfit);
  return { ...seen, route, decision: answer(routedTo) };
}

/** A character that nghttp2 takes in no header value (nghttp2_check_header_value). */
const UNFIT = /[\u0000-\u0008\u000a-\u001f\u007f]/;

/** A header that a filter has written, out of a claim, with a value that cannot be sent. */
function findUnfit(headers: Headers, sent: Headers): string | undefined {
  for (const [name, values] of headers)
    if (sent.get(name) !== values && values.some((value) => UNFIT.test(value))) return name;
  return undefined;
}

/** The path, where a filter has unescaped it to one that cannot be sent. */
function findUnfitPath(path: string | undefined, sent: string): ":path" | undefined {
  return path !== undefined && path !== sent && UNFIT.test(path) ? ":path" : undefined;
}

/** The router's own answer (HeaderUtility::checkRequiredRequestHeaders). */
function refuseHeader(name: string): Decision {
  const details = `filter_removed_required_request_headers{invalid_header_value_for:_${name}}`;
  return { verdict: "refused", status: 503, by: "proxy", details, reason: { kind: "header-refused", name } };
}

/** The filters of a connection, before its last one: the HTTP connection manager, or a TCP proxy. */
function judgeConnection(
  { filters }: Pick<Chain, "filters">,
  connection: Pick<Facts, "peer" | "tunnel" | "sourceIp" | "destinationIp" | "serverName" | "port">,
  envoy: Envoy,
): Judged {
  const nothing = { method: "", path: "", authority: "", headers: new Map(), edge: false, payload: undefined, envoy };
  const facts: Facts = { ...nothing, ...connection, remoteIp: connection.sourceIp };
  const rules: RuleFact[] = [];
  let decision: Decision | undefined;
  for (const filter of filters) {
    const type = typeOf(at(filter, "typed_config"));
    if (/\.(HttpConnectionManager|TcpProxy)$/.test(type)) return { rules, ...(decision && { decision }) };
    if (type.endsWith(".network.rbac.v3.RBAC")) {
      const judged = judgeRbac(at(filter, "typed_config"), facts, 0);
      rules.push(...judged.rules);
      decision ??= judged.decision;
    } else if (!HARMLESS_NETWORK.includes(type)) decision ??= undecidedBy(notRead("filter", text(at(filter, "name"))));
  }
  const last = text(at(filters.at(-1), "name"));
  return { rules, decision: decision ?? undecidedBy(notRead("filter", last)) };
}

/** A filter's type; istiod sends those of Istio's own filters in a TypedStruct. */
function typeOf(config: unknown): string {
  const type = text(at(config, "@type")).split("/").at(-1) ?? "";
  return type.endsWith(".TypedStruct") ? (text(at(config, "type_url")).split("/").at(-1) ?? "") : type;
}

/** Headers that Envoy joins into one entry by commas; it keeps repeated other headers as separate entries. Envoy 1.40.0. */
const JOINED: readonly string[] = [
  "accept",
  "accept-encoding",
  "authorization",
  "cache-control",
  "content-type",
  "if-none-match",
  "origin",
  "pragma",
  "referer",
  "user-agent",
  "via",
  "x-forwarded-for",
  "x-forwarded-host",
  "x-forwarded-proto",
  "x-request-id",
];

function readHeaders(all: OracleRequest["headers"]): Headers {
  const headers: Headers = new Map();
  for (const [written, value] of all) {
    const name = written.toLowerCase();
    headers.set(name, [...(headers.get(name) ?? []), value.replaceAll(/^[ \t]+|[ \t]+$/g, "")]);
  }
  for (const name of JOINED) {
    const values = headers.get(name);
    if (values !== undefined) headers.set(name, [values.join(",")]);
  }
  return headers;
}

/** The runtime flag of Envoy's bootstrap; undefined if the dump has no bootstrap. Its default is on, Istio turns it off. */
function rejectsFragment(dump: unknown): boolean | undefined {
  const bootstrap = bootstrapOf(dump);
  if (bootstrap === undefined) return undefined;
  const values = list(at(bootstrap, "layered_runtime", "layers")).map(
    (layer) => record(at(layer, "static_layer"))[FRAGMENT_FLAG],
  );
  // The last layer that sets it wins; a value is a boolean or text.
  return String(values.findLast((value) => value !== undefined) ?? true) === "true";
}

/** istiod always adds a fault filter; one without faults does nothing. */
function isIdleFault(type: string, config: unknown): boolean {
  return type.endsWith(".fault.v3.HTTPFault") && at(config, "abort") === undefined;
}

/** Decides a request that every policy lets through. */
function decideRoute(route: RouteFact, admission: Admission): Decision {
  switch (route.kind) {
    case "cluster":
      return admit(admission);
    case "answer": {
      const { status, config: routes } = route;
      const reason = { kind: "route-answers", routes, admission } as const;
      return { verdict: "answered", status, by: "proxy", details: "direct_response", reason };
    }
    case "none": {
      const reason = { kind: "no-route", routes: route.config, admission } as const;
      return { verdict: "refused", status: 404, by: "proxy", details: "route_not_found", reason };
    }
    case "unknown":
      return undecidedBy(route.missing, admission);
  }
}

/** conn_manager_utility.cc, mutateRequestHeaders, and Utility::getLastAddressFromXFF. */
function remoteAddress(manager: unknown, headers: Headers, own: string | undefined): Facts["remoteIp"] {
  if (at(manager, "original_ip_detection_extensions") !== undefined) return { unknown: notRead("ip-detection") };
  const hops = Number(at(manager, "xff_num_trusted_hops") ?? 0);
  const forwarded = headers.get("x-forwarded-for")?.[0];
  const edge = at(manager, "use_remote_address") === true;
  if (forwarded === undefined || (edge && hops === 0)) return own;
  const named = forwarded
    .split(",")
    .at(-1 - (edge ? hops - 1 : hops))
    ?.trim();
  if (named === undefined) return own;
  if (isIP(named) === 0) return { unknown: { kind: "forwarded-for", value: redact(named) } };
  return named;
}

function admit(reason: Admission): Decision {
  return { verdict: "admitted", status: 200, by: "nobody", reason };
}

function admitted(rules: readonly RuleFact[]): Admission {
  const allowed = rules.find((rule) => rule.action === "ALLOW" && !rule.dryRun && rule.matched === true);
  if (allowed !== undefined) return { kind: "allowed", rule: refOf(allowed) };
  return { kind: rules.some((rule) => !rule.dryRun) ? "not-denied" : "no-policy" };
}

function decideTokens({ status, code, unknown, providers }: JwtOutcome): Decision | undefined {
  if (code === 200) return undefined;
  if (code === undefined) return undecidedBy(unknown ?? notRead("jwt-requirement"));
  const decisive = providers.filter(({ found }) => isRefusal(found));
  return {
    verdict: "denied",
    status: code,
    by: "authentication",
    details: `jwt_authn_access_denied{${status.replaceAll(" ", "_")}}`,
    reason: {
      kind: "token-refused",
      status,
      providers: (decisive.length > 0 ? decisive : providers).map(({ issuer, found, keys }) => ({
        ...(issuer !== undefined && { issuer }),
        found,
        keys,
      })),
    },
  };
}

/** Whether a provider refused a token that was meant for it. */
function isRefusal({ kind }: ProviderFact["found"]): boolean {
  switch (kind) {
    case "not-asked":
    case "accepted":
    case "claims-accepted":
    case "no-token":
    case "other-issuer":
    case "undecided":
      return false;
    default:
      return true;
  }
}
