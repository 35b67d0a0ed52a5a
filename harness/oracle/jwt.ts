/** Evaluates a request's tokens like Envoy's jwt_authn filter (source/extensions/filters/http/jwt_authn). */

import type { JsonWebKey } from "node:crypto";
import { verifySignature } from "../tokens/verify.ts";
import { readEcdsa } from "./ecdsa.ts";
import { PLACEHOLDER_MODULUS } from "../verdict/proxy-config.ts";
import type { KeyFact, Missing, ProviderFact, TokenFound } from "../model/explanation.ts";
import { OK, parse, type Parsed } from "./parse-token.ts";
import { ASSUMED, extract, placesOf, withoutParameter, type Headers, type Location } from "./token-places.ts";
import { at, list, record, text, texts, type Tree } from "./tree.ts";
import { notRead } from "./undecided.ts";

export interface JwtRequest {
  readonly method: string;
  /** The normalized path, with query. */
  readonly path: string;
  readonly headers: Headers;
  /** Claims that replace a token in Authorization with a good signature. */
  readonly claims: Tree | undefined;
  /** Seconds since 1970. */
  readonly now: number;
}

export interface JwtOutcome {
  /** Undefined if it is not known; `unknown` has the reason. */
  readonly code: 200 | 401 | 403 | undefined;
  /** `Ok`, or Envoy's text for the failure. */
  readonly status: string;
  readonly unknown?: Missing;
  readonly payload: Tree | undefined;
  /** Whether a rule of the filter matches the request. */
  readonly asked: boolean;
  /** Whether a good token makes the proxy choose its route again (`clear_route_cache`). */
  readonly clearsRoute: boolean;
  /** The normalized path, with query, as the following filters see it. */
  readonly path: string;
  readonly providers: readonly ProviderFact[];
}

const MISSING = "Jwt is missing";
const UNKNOWN_ISSUER = "Jwt issuer is not configured";
const AUDIENCE = "Audiences in Jwt are not allowed";
/** Default of JwtProvider.clock_skew_seconds. */
const CLOCK_SKEW = 60;

/** Envoy's status text, or why it is not known. */
type Status = string | { readonly unknown: Missing };

/** @param filter the config of type JwtAuthentication */
export function judgeTokens(filter: unknown, request: JwtRequest): JwtOutcome {
  const providers = new Map(Object.entries(record(at(filter, "providers"))));
  const context: Context = { providers, request, found: new Map(), payload: undefined, path: request.path };
  const requirement = requirementOf(filter, request);
  if (requirement !== undefined) sanitize(providers, request.headers);
  const status = requirement === undefined ? OK : requirement === ELSE ? ELSE : judge(requirement, context);
  const facts = [...providers].map(([name, provider]) => describeProvider(name, provider, context));
  const clearsRoute = [...context.found].some(
    ([name, { status: one }]) => one === OK && at(providers.get(name), "clear_route_cache") === true,
  );
  const seen = { path: context.path, providers: facts, asked: requirement !== undefined, clearsRoute };
  if (typeof status !== "string")
    return { ...seen, status: "", code: undefined, unknown: status.unknown, payload: undefined };
  const code = status === OK ? 200 : status === AUDIENCE ? 403 : 401;
  return { ...seen, status, code, payload: status === OK ? context.payload : undefined };
}

interface Context {
  readonly providers: ReadonlyMap<string, unknown>;
  readonly request: JwtRequest;
  /** The first result of each provider. */
  readonly found: Map<string, { readonly status: Status; readonly token: Parsed | undefined }>;
  /** The claims of the token that was verified last, whether or not its provider accepted the others. */
  payload: Tree | undefined;
  /** The path without the parameters of accepted tokens. */
  path: string;
}

/** Removes the headers in which a provider forwards a payload or a claim: clients must not set them. */
function sanitize(providers: ReadonlyMap<string, unknown>, headers: Headers): void {
  for (const provider of providers.values()) {
    headers.delete(text(at(provider, "forward_payload_header")).toLowerCase());
    for (const one of list(at(provider, "claim_to_headers")))
      headers.delete(text(at(one, "header_name")).toLowerCase());
  }
}

const ELSE = { unknown: notRead("jwt-rule") };

/** The requirement of the first matching rule; undefined lets the request through. */
function requirementOf(filter: unknown, { method, headers, path }: JwtRequest): unknown {
  const preflight = method === "OPTIONS" && headers.has("origin") && headers.has("access-control-request-method");
  if (preflight && at(filter, "bypass_cors_preflight") === true) return undefined;
  for (const rule of list(at(filter, "rules"))) {
    const prefix = at(rule, "match", "prefix");
    const more = Object.keys(record(at(rule, "match"))).length > 1;
    if (typeof prefix !== "string" || more) return ELSE;
    if (!path.startsWith(prefix)) continue;
    const name = at(rule, "requirement_name");
    return typeof name === "string" ? at(filter, "requirement_map", name) : at(rule, "requires");
  }
  return undefined;
}

/** verifier.cc: `requires_any`, `requires_all`, a provider, `allow_missing` or `allow_missing_or_failed`. */
function judge(requirement: unknown, context: Context): Status {
  const [kind, ...more] = Object.keys(record(requirement));
  const value = kind === undefined ? undefined : at(requirement, kind);
  if (kind === undefined) return OK;
  if (more.length > 0) return { unknown: notRead("jwt-requirement", [kind, ...more].join(" and ")) };
  switch (kind) {
    case "provider_name":
      return judgeProvider(String(value), undefined, context);
    case "provider_and_audiences":
      return judgeProvider(text(at(value, "provider_name")), texts(at(value, "audiences")), context);
    case "allow_missing":
      return judgeBypass(context, false);
    case "allow_missing_or_failed":
      return judgeBypass(context, true);
    case "requires_all": {
      for (const inner of list(at(value, "requirements"))) {
        const status = judge(inner, context);
        if (status !== OK) return status;
      }
      return OK;
    }
    case "requires_any":
      return judgeAny(list(at(value, "requirements")), context);
    default:
      return { unknown: notRead("jwt-requirement", kind) };
  }
}

/**
 * AnyVerifierImpl: allow_missing and allow_missing_or_failed decide after the others, by their result; alone they ask all providers.
 * Any other failure takes precedence over a missing token and an unknown issuer.
 */
function judgeAny(requirements: readonly unknown[], context: Context): Status {
  const has = (kind: string): boolean => requirements.some((node) => kind in record(node));
  const regular = requirements.filter((node) => !/^allow_missing/.test(Object.keys(record(node))[0] ?? ""));
  if (regular.length === 0) return judgeBypass(context, has("allow_missing_or_failed"));
  let final = MISSING;
  for (const node of regular) {
    const status = judge(node, context);
    if (status === OK || typeof status !== "string") return status;
    if ((status !== MISSING && status !== UNKNOWN_ISSUER) || final === MISSING) final = status;
  }
  return has("allow_missing_or_failed") || (has("allow_missing") && final === MISSING) ? OK : final;
}

function judgeProvider(name: string, audiences: readonly string[] | undefined, context: Context): Status {
  const provider = context.providers.get(name);
  if (provider === undefined) return { unknown: { kind: "no-provider", name } };
  const tokens = tokensIn([provider], context);
  let status: Status = tokens.length === 0 ? MISSING : OK;
  let token: Parsed | undefined;
  // All tokens must be valid; Envoy starts with the last one (authenticator.cc, startVerify and doneWithStatus).
  for (const location of tokens.reverse()) {
    token = parse(location.token, context.request.claims);
    status = verify(token, location, provider, audiences, context);
    if (status !== OK) break;
  }
  if (!context.found.has(name)) context.found.set(name, { status, token });
  return status;
}

function tokensIn(providers: readonly unknown[], { request, path }: Context): Location[] {
  return extract(providers, { path, headers: request.headers, assumed: request.claims !== undefined });
}

/** Verifies the tokens in the places of all providers. The first place, which is verified last, decides. */
function judgeBypass(context: Context, allowFailed: boolean): Status {
  const providers = [...context.providers.values()];
  let status: Status = MISSING;
  for (const location of tokensIn(providers, context).reverse()) {
    const token = parse(location.token, context.request.claims);
    const issuer = text(token.claims?.["iss"]);
    const own = providers.filter((provider) => text(at(provider, "issuer")) === issuer);
    const candidates = own.length > 0 ? own : providers.filter((provider) => text(at(provider, "issuer")) === "");
    // findByIssuer returns the first entry of an unordered map.
    if (candidates.length > 1) return { unknown: { kind: "which-provider", count: candidates.length, issuer } };
    status = verify(token, location, candidates[0], undefined, context);
    if (typeof status !== "string") return status;
  }
  return allowFailed || status === MISSING ? OK : status;
}

/** authenticator.cc, startVerify. Stores the payload of a good token in the context. */
function verify(
  token: Parsed,
  location: Location,
  provider: unknown,
  audiences: readonly string[] | undefined,
  context: Context,
): Status {
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
  for (const one of list(at(provider, "claim_to_headers"))) {
    const value = claimText(at(claims, ...text(at(one, "claim_name")).split(".")));
    if (value !== "") addTo(headers, text(at(one, "header_name")).toLowerCase(), value);
  }
  const payloadHeader = text(at(provider, "forward_payload_header")).toLowerCase();
  if (payloadHeader !== "") addTo(headers, payloadHeader, token.compact.split(".")[1] ?? "");
  if (at(provider, "forward") !== true && location.header !== undefined) headers.delete(location.header);
  if (at(provider, "forward") !== true && location.parameter !== undefined)
    context.path = withoutParameter(context.path, location.parameter);
  return OK;
}

function addTo(headers: Headers, name: string, value: string): void {
  headers.set(name, [...(headers.get(name) ?? []), value]);
}

/** addJWTClaimToHeader: text, integers and booleans unchanged, lists and objects as base64url of their JSON. */
function claimText(value: unknown): string {
  if (typeof value === "string") return value;
  if (typeof value === "number") return Number.isInteger(value) && value >= 0 ? String(value) : value.toFixed(6);
  if (typeof value === "boolean") return String(value);
  if (value === undefined || value === null) return "";
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** verify.cc: a key with the token's kid and alg, or without them. */
function checkSignature(token: Parsed, provider: unknown): Status {
  if (at(provider, "remote_jwks") !== undefined) return { unknown: { kind: "remote-keys", ...issuerOf(provider) } };
  const { alg, kid } = token.header as { alg: string; kid?: string };
  const keys = keysOf(provider);
  if (keys === undefined || keys.length === 0) return "Jwks doesn't have any valid public key";
  const fitting = keys.filter((key) => (!kid || !key.kid || key.kid === kid) && (!key.alg || key.alg === alg));
  if (fitting.length === 0) return "Jwks doesn't have key to match kid or alg from Jwt";
  const [head = "", body = ""] = token.compact.split(".");
  const signature = readEcdsa(alg, token.signature ?? Buffer.alloc(0))?.toString("base64url") ?? "";
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

/** Splits claims with space-separated words into lists (normalize_payload_in_metadata). */
function normalizePayload(claims: Tree, provider: unknown): Tree {
  const names = texts(at(provider, "normalize_payload_in_metadata", "space_delimited_claims"));
  return Object.fromEntries(
    Object.entries(claims).map(([name, value]) => [
      name,
      names.includes(name) && typeof value === "string" ? value.split(" ").filter(Boolean) : value,
    ]),
  );
}

/** check_audience.cc: the audience without scheme and trailing slash. */
function plainAudience(audience: string): string {
  return audience.replace(/^https?:\/\//, "").replace(/\/$/, "");
}

function describeProvider(name: string, provider: unknown, context: Context): ProviderFact {
  const uri = at(provider, "remote_jwks", "http_uri", "uri");
  const keys = keysOf(provider) ?? [];
  const placeholder = keys.some((key) => key.n?.startsWith(PLACEHOLDER_MODULUS));
  const payloadHeader = text(at(provider, "forward_payload_header"));
  const claimHeaders = list(at(provider, "claim_to_headers")).map((one) => text(at(one, "header_name")));
  const seen = context.found.get(name);
  const remote = typeof uri === "string";
  return {
    name,
    ...issuerOf(provider),
    audiences: texts(at(provider, "audiences")),
    places: placesOf(provider).map(({ prefix, ...place }) => (prefix === "" ? place : { ...place, prefix })),
    keys: remote ? "remote" : placeholder ? "placeholder" : "inline",
    ...(remote ? { uri } : {}),
    keyList: keys.map(({ kid, kty = "?", alg }): KeyFact => ({ ...(kid && { kid }), kty, ...(alg && { alg }) })),
    forward: at(provider, "forward") === true,
    ...(payloadHeader === "" ? {} : { payloadHeader }),
    ...(claimHeaders.length > 0 && { claimHeaders }),
    found: seen === undefined ? { kind: "not-asked" } : describeFound(seen.status, seen.token, provider),
  };
}

/** The issuer of a rule, empty if it accepts tokens of any issuer. */
function issuerOf(provider: unknown): { readonly issuer?: string } {
  const issuer = text(at(provider, "issuer"));
  return issuer === "" ? {} : { issuer };
}

/** The filter's result as data, with the token's value beside the provider's requirement. */
function describeFound(status: Status, token: Parsed | undefined, provider: unknown): TokenFound {
  if (typeof status !== "string") return { kind: "undecided", missing: status.unknown };
  const { iss, aud, exp, nbf } = token?.claims ?? {};
  const { alg, kid } = token?.header ?? {};
  switch (status) {
    case OK:
      return { kind: token?.compact === ASSUMED ? "claims-accepted" : "accepted" };
    case MISSING:
      return { kind: "no-token" };
    case UNKNOWN_ISSUER:
      return { kind: "other-issuer", iss };
    case AUDIENCE:
      return { kind: "other-audience", aud, allowed: texts(at(provider, "audiences")) };
    case "Jwt is expired":
      return { kind: "expired", exp: Number(exp) };
    case "Jwt not yet valid":
      return { kind: "not-yet-valid", nbf: Number(nbf) };
    case "Jwks doesn't have key to match kid or alg from Jwt":
      return { kind: "no-such-key", kid, alg };
    case "Jwt verification fails":
      return { kind: "bad-signature", kid, alg };
    default:
      return { kind: "refused", status };
  }
}
