/** What Envoy's jwt_authn filter makes of a request's tokens (source/extensions/filters/http/jwt_authn). */

import type { JsonWebKey } from "node:crypto";
import { verifySignature } from "../tokens/verify.ts";
import { ALGORITHMS } from "../tokens/names.ts";
import { PLACEHOLDER_MODULUS } from "../verdict/proxy-config.ts";
import type { KeyFact, ProviderFact } from "./types.ts";
import { at, list, record, text, type Tree } from "./tree.ts";

/** Headers with lower-case names; the filter takes accepted tokens out. */
export type Headers = Map<string, readonly string[]>;

export interface JwtRequest {
  readonly method: string;
  /** Normalized, with query. */
  readonly path: string;
  readonly headers: Headers;
  /** Claims that stand for a token in Authorization whose signature is good. */
  readonly claims: Tree | undefined;
  /** Seconds since 1970. */
  readonly now: number;
}

export interface JwtOutcome {
  /** `Ok`, or Envoy's text for the failure. */
  readonly status: string;
  /** 0: it cannot be told, and `status` says why. */
  readonly code: 200 | 401 | 403 | 0;
  readonly payload: Tree | undefined;
  readonly providers: readonly ProviderFact[];
}

const OK = "Ok";
const MISSING = "Jwt is missing";
const UNKNOWN_ISSUER = "Jwt issuer is not configured";
const AUDIENCE = "Audiences in Jwt are not allowed";
/** Begins a status that is no status of Envoy's. */
const UNDECIDED = "undecided: ";
/** JwtProvider.clock_skew_seconds' default. */
const CLOCK_SKEW = 60;
/** A token that stands for {@link JwtRequest.claims}. */
const ASSUMED = "assumed";

/** @param filter the config of type JwtAuthentication */
export function judgeTokens(filter: unknown, request: JwtRequest): JwtOutcome {
  const providers = new Map(Object.entries(record(at(filter, "providers"))));
  const context: Context = { providers, request, found: new Map(), payload: undefined };
  const requirement = requirementOf(filter, request);
  const status = requirement === undefined ? OK : judge(requirement, context, []);
  const facts = [...providers].map(([name, provider]) => describeProvider(name, provider, context));
  if (status.startsWith(UNDECIDED))
    return { status: status.slice(UNDECIDED.length), code: 0, payload: undefined, providers: facts };
  const code = status === OK ? 200 : status === AUDIENCE ? 403 : 401;
  return { status, code, payload: status === OK ? context.payload : undefined, providers: facts };
}

interface Context {
  readonly providers: ReadonlyMap<string, unknown>;
  readonly request: JwtRequest;
  /** What each provider said, first answer. */
  readonly found: Map<string, { readonly status: string; readonly token: Parsed | undefined }>;
  payload: Tree | undefined;
}

/** The first rule whose match fits; undefined lets everything through. */
function requirementOf(filter: unknown, { method, headers, path }: JwtRequest): unknown {
  const preflight = method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
  if (preflight && at(filter, "bypass_cors_preflight") === true) return undefined;
  for (const rule of list(at(filter, "rules"))) {
    const prefix = at(rule, "match", "prefix");
    if (typeof prefix !== "string") return { unknown: "a jwt_authn rule that matches otherwise than by prefix" };
    if (!path.startsWith(prefix)) continue;
    const name = at(rule, "requirement_name");
    return typeof name === "string" ? at(filter, "requirement_map", name) : at(rule, "requires");
  }
  return undefined;
}

/** verifier.cc: any, all, a provider, or what may be missing or fail. @param siblings providers of the enclosing `any` */
function judge(requirement: unknown, context: Context, siblings: readonly string[]): string {
  const [kind, ...more] = Object.keys(record(requirement));
  const value = kind === undefined ? undefined : at(requirement, kind);
  if (kind === undefined) return OK;
  if (more.length > 0) return `${UNDECIDED}a requirement with ${[kind, ...more].join(" and ")} is not known here`;
  switch (kind) {
    case "provider_name":
      return judgeProvider(String(value), undefined, context);
    case "provider_and_audiences":
      return judgeProvider(text(at(value, "provider_name")), texts(at(value, "audiences")), context);
    case "allow_missing":
      return judgeBypass(siblings, context, false);
    case "allow_missing_or_failed":
      return judgeBypass(siblings, context, true);
    case "requires_all": {
      for (const inner of list(at(value, "requirements"))) {
        const status = judge(inner, context, []);
        if (status !== OK) return status;
      }
      return OK;
    }
    case "requires_any":
      return judgeAny(list(at(value, "requirements")), context);
    default:
      return `${UNDECIDED}the requirement ${kind} is not known here`;
  }
}

/** Those that bypass come last. A missing token and an unknown issuer say less than any other failure. */
function judgeAny(requirements: readonly unknown[], context: Context): string {
  const isBypass = (node: unknown): boolean => /^allow_missing/.test(Object.keys(record(node))[0] ?? "");
  const regular = requirements.filter((node) => !isBypass(node));
  const used = regular.flatMap((node) => {
    const name = at(node, "provider_name") ?? at(node, "provider_and_audiences", "provider_name");
    return typeof name === "string" ? [name] : [];
  });
  const bypass = requirements
    .filter(isBypass)
    .find((node, _, all) => "allow_missing_or_failed" in record(node) || all.length === 1);
  let final: string | undefined;
  for (const node of [...regular, ...(bypass === undefined ? [] : [bypass])]) {
    const status = judge(node, context, used);
    if (status === OK || status.startsWith(UNDECIDED)) return status;
    if (final === undefined || weight(status) >= weight(final)) final = status;
  }
  return final ?? OK;
}

function weight(status: string): number {
  return status === MISSING ? 0 : status === UNKNOWN_ISSUER ? 1 : 2;
}

function judgeProvider(name: string, audiences: readonly string[] | undefined, context: Context): string {
  const provider = context.providers.get(name);
  if (provider === undefined) return `${UNDECIDED}the provider ${name} is not in the config`;
  const tokens = extract([provider], context.request);
  let status = tokens.length === 0 ? MISSING : OK;
  let token: Parsed | undefined;
  // All tokens must be valid; Envoy begins with the last one.
  for (const location of tokens.reverse()) {
    token = parse(location.token, context.request);
    status = verify(token, location, provider, audiences, context);
    if (status !== OK) break;
  }
  if (!context.found.has(name)) context.found.set(name, { status, token });
  return status;
}

/** allow_missing: no token is fine, one that is there must be good for a provider with its issuer. */
function judgeBypass(names: readonly string[], context: Context, allowFailed: boolean): string {
  const providers = names.map((name) => context.providers.get(name));
  const tokens = extract(providers, context.request);
  let status = MISSING;
  for (const location of tokens.reverse()) {
    const token = parse(location.token, context.request);
    const provider = [...context.providers.values()].find((p) => text(at(p, "issuer")) === text(token.claims?.["iss"]));
    status = verify(token, location, provider, undefined, context);
  }
  if (status.startsWith(UNDECIDED)) return status;
  return allowFailed || status === MISSING ? OK : status;
}

interface Location {
  readonly token: string;
  /** Issuers that name this place; `""` means all. */
  readonly issuers: readonly string[];
  /** Takes the token out of the request; parameters and cookies decide nothing here. */
  readonly header?: string;
}

/** extractor.cc: headers, then parameters, then cookies; the places of all providers together, sorted. */
function extract(providers: readonly unknown[], request: JwtRequest): Location[] {
  const places = providers.flatMap((provider) =>
    placesOf(provider).map((place) => ({ ...place, issuer: text(at(provider, "issuer")) })),
  );
  const ordered = (["header", "parameter", "cookie"] as const).flatMap((kind) =>
    [
      ...Map.groupBy(
        places.filter((place) => place.kind === kind),
        (place) => place.name + place.prefix,
      ),
    ].sort(([a], [b]) => (a < b ? -1 : 1)),
  );
  const query = new URLSearchParams(
    request.path.includes("?") ? request.path.slice(request.path.indexOf("?") + 1) : "",
  );
  const cookies = cookiesOf(request.headers.get("cookie") ?? []);
  return ordered.flatMap(([, same]): Location[] => {
    const { kind, name, prefix } = same[0]!;
    const issuers = same.map((place) => place.issuer);
    if (kind === "header") {
      if (request.claims !== undefined && name === "authorization") return [{ token: ASSUMED, issuers }];
      return (request.headers.get(name) ?? []).flatMap((value) => {
        const token = behind(value, prefix);
        return token === undefined ? [] : [{ token, issuers, header: name }];
      });
    }
    const token = kind === "parameter" ? query.get(name) : cookies.get(name);
    return token === null || token === undefined ? [] : [{ token, issuers }];
  });
}

interface Place {
  readonly kind: "header" | "parameter" | "cookie";
  readonly name: string;
  readonly prefix: string;
}

function placesOf(provider: unknown): Place[] {
  const headers = list(at(provider, "from_headers")).map((header): Place => ({
    kind: "header",
    name: text(at(header, "name")).toLowerCase(),
    prefix: text(at(header, "value_prefix")),
  }));
  const parameters = texts(at(provider, "from_params")).map((name): Place => ({ kind: "parameter", name, prefix: "" }));
  const cookies = texts(at(provider, "from_cookies")).map((name): Place => ({ kind: "cookie", name, prefix: "" }));
  const all = [...headers, ...parameters, ...cookies];
  if (all.length > 0) return all;
  return [
    { kind: "header", name: "authorization", prefix: "Bearer " },
    { kind: "parameter", name: "access_token", prefix: "" },
  ];
}

/** The prefix may stand anywhere; what follows begins with the first character that a token may have. */
function behind(value: string, prefix: string): string | undefined {
  if (prefix === "") return value;
  const start = value.indexOf(prefix);
  if (start < 0) return undefined;
  const rest = value.slice(start + prefix.length);
  const first = rest.search(/[A-Za-z0-9\-_.]/);
  return first < 0 ? value : rest.slice(first);
}

function cookiesOf(headers: readonly string[]): Map<string, string> {
  const pairs = headers.flatMap((header) => header.split(";")).map((pair) => pair.trim());
  const cookies = new Map<string, string>();
  for (const pair of pairs) {
    const [, name, value = ""] = /^([^=]+)=(.*)$/.exec(pair) ?? [];
    if (name !== undefined && !cookies.has(name)) cookies.set(name, value.replace(/^"(.*)"$/, "$1"));
  }
  return cookies;
}

interface Parsed {
  /** `Ok`, or why it is no token. */
  readonly status: string;
  readonly header?: Tree;
  readonly claims?: Tree;
  readonly compact: string;
}

/** jwt.cc, in its order. */
function parse(compact: string, { claims }: JwtRequest): Parsed {
  if (compact === ASSUMED) return checkClaims({ status: OK, compact, ...(claims && { claims }) });
  const fail = (status: string, more: Partial<Parsed> = {}): Parsed => ({ ...more, status, compact });
  const parts = compact.split(".");
  if (parts.length !== 3 || parts.some((part) => part === ""))
    return fail("Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections");
  const [head = "", body = "", signature = ""] = parts;
  if (!isBase64Url(head)) return fail("Jwt header is an invalid Base64url encoded");
  const header = parseObject(head);
  if (header === undefined) return fail("Jwt header is an invalid JSON");
  if (typeof header["alg"] !== "string")
    return fail("Jwt header [alg] field is required and must be a string", { header });
  if (!ALGORITHMS.some((alg) => alg === header["alg"])) return fail("Jwt header [alg] is not supported", { header });
  if (header["kid"] !== undefined && typeof header["kid"] !== "string")
    return fail("Jwt header [kid] field is not a string", { header });
  if (!isBase64Url(body)) return fail("Jwt payload is an invalid Base64url encoded", { header });
  const payload = parseObject(body);
  if (payload === undefined) return fail("Jwt payload is an invalid JSON", { header });
  const checked = checkClaims({ status: OK, header, claims: payload, compact });
  if (checked.status !== OK) return checked;
  return isBase64Url(signature) ? checked : { ...checked, status: "Jwt signature is an invalid Base64url encoded" };
}

function checkClaims(parsed: Parsed): Parsed {
  const claims = parsed.claims ?? {};
  for (const name of ["iss", "sub"])
    if (claims[name] !== undefined && typeof claims[name] !== "string")
      return { ...parsed, status: `Jwt payload [${name}] field is not a string` };
  for (const name of ["iat", "nbf", "exp"]) {
    const value = claims[name];
    if (value === undefined || (typeof value === "number" && value >= 0)) continue;
    return {
      ...parsed,
      status:
        typeof value === "number"
          ? `Jwt payload [${name}] field is not a positive integer`
          : `Jwt payload [${name}] field is not an integer`,
    };
  }
  const { aud } = claims;
  if (
    aud !== undefined &&
    typeof aud !== "string" &&
    !(Array.isArray(aud) && aud.every((one) => typeof one === "string"))
  )
    return { ...parsed, status: "Jwt payload [aud] field is not a string or string list" };
  return parsed;
}

/** authenticator.cc, startVerify. Leaves the payload behind where all is well. */
function verify(
  token: Parsed,
  location: Location,
  provider: unknown,
  audiences: readonly string[] | undefined,
  context: Context,
): string {
  if (token.status !== OK) return token.status;
  const claims = token.claims ?? {};
  const issuer = text(claims["iss"]);
  if (!location.issuers.some((allowed) => allowed === "" || allowed === issuer)) return UNKNOWN_ISSUER;
  if (provider === undefined) return UNKNOWN_ISSUER;
  const skew = Number(at(provider, "clock_skew_seconds") ?? CLOCK_SKEW);
  const { now } = context.request;
  if (Number(claims["nbf"] ?? 0) > now + skew) return "Jwt not yet valid";
  if (Number(claims["exp"] ?? 0) > 0 && now > Number(claims["exp"]) + skew) return "Jwt is expired";
  const allowed = (audiences ?? texts(at(provider, "audiences"))).map(plainAudience);
  const given = [claims["aud"] ?? []].flat().map((aud) => plainAudience(String(aud)));
  if (allowed.length > 0 && !given.some((aud) => allowed.includes(aud))) return AUDIENCE;
  if (token.compact !== ASSUMED) {
    const status = checkSignature(token, provider);
    if (status !== OK) return status;
  }
  context.payload = normalizePayload(claims, provider);
  const { headers } = context.request;
  if (at(provider, "forward") !== true && location.header !== undefined) headers.delete(location.header);
  return OK;
}

/** verify.cc: a key with the token's kid and alg, or without them. */
function checkSignature(token: Parsed, provider: unknown): string {
  if (at(provider, "remote_jwks") !== undefined)
    return `${UNDECIDED}the proxy fetches the keys of ${text(at(provider, "issuer"))} itself, and they are not in its config`;
  const { alg, kid } = token.header as { alg: string; kid?: string };
  const keys = keysOf(provider);
  if (keys === undefined || keys.length === 0) return "Jwks doesn't have any valid public key";
  const fitting = keys.filter((key) => (!kid || !key.kid || key.kid === kid) && (!key.alg || key.alg === alg));
  if (fitting.length === 0) return "Jwks doesn't have key to match kid or alg from Jwt";
  const [head = "", body = "", signature = ""] = token.compact.split(".");
  const good = fitting.some((key) => {
    try {
      return verifySignature(alg, key, `${head}.${body}`, signature);
    } catch {
      return false; // a key that node:crypto cannot read verifies nothing
    }
  });
  return good ? OK : "Jwt verification fails";
}

type Key = JsonWebKey & { readonly kid?: string; readonly alg?: string };

function keysOf(provider: unknown): readonly Key[] | undefined {
  const inline = at(provider, "local_jwks", "inline_string");
  const bytes = at(provider, "local_jwks", "inline_bytes");
  const jwks = typeof inline === "string" ? inline : Buffer.from(text(bytes), "base64").toString();
  try {
    return list(at(JSON.parse(jwks), "keys")) as Key[];
  } catch {
    return undefined;
  }
}

/** Claims with several words in one text become lists (normalize_payload_in_metadata). */
function normalizePayload(claims: Tree, provider: unknown): Tree {
  const names = texts(at(provider, "normalize_payload_in_metadata", "space_delimited_claims"));
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [
      name,
      names.includes(name) && typeof value === "string" ? value.split(" ").filter(Boolean) : value,
    ]),
  );
}

/** check_audience.cc: without scheme and closing slash. */
function plainAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

function describeProvider(name: string, provider: unknown, context: Context): ProviderFact {
  const uri = at(provider, "remote_jwks", "http_uri", "uri");
  const keys = keysOf(provider) ?? [];
  const placeholder = keys.some((key) => key.n?.startsWith(PLACEHOLDER_MODULUS));
  const payloadHeader = text(at(provider, "forward_payload_header"));
  const seen = context.found.get(name);
  const remote = typeof uri === "string";
  return {
    name,
    issuer: text(at(provider, "issuer")),
    audiences: texts(at(provider, "audiences")),
    places: placesOf(provider).map(
      ({ kind, name, prefix }) => `${kind} ${name}${prefix === "" ? "" : ` after "${prefix}"`}`,
    ),
    keys: remote ? "remote" : placeholder ? "placeholder" : "inline",
    ...(remote ? { uri } : {}),
    keyList: keys.map(({ kid, kty = "?", alg }): KeyFact => ({ ...(kid && { kid }), kty, ...(alg && { alg }) })),
    forward: at(provider, "forward") === true,
    ...(payloadHeader === "" ? {} : { payloadHeader }),
    found: seen === undefined ? "was not asked" : describeFound(seen.status, seen.token, provider),
    ...(seen === undefined || seen.status.startsWith(UNDECIDED) ? {} : { accepted: seen.status === OK }),
  };
}

/** What the filter said, with the token's value beside the provider's wish. */
function describeFound(status: string, token: Parsed | undefined, provider: unknown): string {
  const claims = token?.claims ?? {};
  const show = (value: unknown): string => (value === undefined ? "none" : JSON.stringify(value));
  const { alg, kid } = token?.header ?? {};
  switch (status) {
    case OK:
      return token?.compact === ASSUMED ? "accepts the claims, if the signature is good" : "accepts the token";
    case MISSING:
      return "found no token in its places";
    case UNKNOWN_ISSUER:
      return `the token's iss is ${show(claims["iss"])}, not ${show(at(provider, "issuer"))}`;
    case AUDIENCE:
      return `the token's aud is ${show(claims["aud"])}, allowed are ${show(at(provider, "audiences"))}`;
    case "Jwt is expired":
      return `the token's exp is ${new Date(Number(claims["exp"]) * 1000).toISOString()}, which has passed`;
    case "Jwt not yet valid":
      return `the token's nbf is ${new Date(Number(claims["nbf"]) * 1000).toISOString()}, which is to come`;
    case "Jwks doesn't have key to match kid or alg from Jwt":
      return `no key has the token's kid ${show(kid)} and alg ${show(alg)}`;
    case "Jwt verification fails":
      return `the signature (kid ${show(kid)}, alg ${show(alg)}) fits none of the keys`;
    default:
      return status.startsWith(UNDECIDED) ? status.slice(UNDECIDED.length) : status;
  }
}

function texts(node: unknown): string[] {
  return list(node).filter((one) => typeof one === "string");
}

/** Envoy's Base64Url::decode takes no padding. */
function isBase64Url(part: string): boolean {
  return /^[\w-]+$/.test(part) && part.length % 4 !== 1;
}

function parseObject(part: string): Tree | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(part, "base64url").toString());
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Tree) : undefined;
  } catch {
    return undefined;
  }
}
