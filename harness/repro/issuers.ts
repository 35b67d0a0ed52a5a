/** The issuers of a ticket, with meshproof's own keys. */

import { type Algorithm, ALGORITHMS, type TokenPlace } from "../model/token.ts";
import type { Difference, JwksState } from "../model/ticket.ts";
import { withoutCredentials } from "./placeholders.ts";
import type { KeySet } from "./stand-in.ts";
import { algorithmOf, type GivenToken } from "./token.ts";
import { isKind } from "./understood.ts";
import type { TicketObject } from "./ticket.ts";

export interface MadeIssuer {
  /** The name of its file in scenarios/issuers. */
  readonly name: string;
  readonly iss: string;
  readonly keys: readonly {
    readonly kid: string;
    readonly alg: Algorithm;
    /** The ticket's key has no kid: Envoy tries it for a token with any. */
    readonly anyKid?: boolean;
  }[];
  /** Whether the ticket contains its JWKS, so that its keys are known. */
  readonly fromJwks: boolean;
}

/** One entry of `jwtRules`. */
export interface JwtRule {
  /** `RequestAuthentication name` */
  readonly what: string;
  readonly iss: string;
  readonly audiences: readonly string[];
  readonly fromHeaders: readonly { readonly name: string; readonly prefix?: string }[];
  readonly fromParams: readonly string[];
  readonly fromCookies: readonly string[];
}

interface RawRule extends Partial<Omit<JwtRule, "iss" | "what">> {
  readonly issuer?: string;
  readonly jwks?: string;
  readonly jwksUri?: string;
}

/** The file of an issuer in scenarios/issuers. */
export function issuerFileOf({ iss, keys }: MadeIssuer): object {
  return { iss, keys: keys.map(({ kid, alg }) => ({ kid, alg })) };
}

/** A name of small letters, digits and single hyphens. */
export function slug(text: string): string {
  const made = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")
    .slice(0, 40)
    .replace(/-$/, "");
  return made === "" ? "x" : made;
}

function rulesOf(objects: readonly TicketObject[]): RawRule[] {
  return objects
    .filter((object) => isKind(object, "RequestAuthentication"))
    .flatMap(({ spec }) => (spec?.["jwtRules"] ?? []) as RawRule[]);
}

/** The issuers of the jwtRules. */
export function issuersIn(objects: readonly TicketObject[]): string[] {
  return [...new Set(rulesOf(objects).map(({ issuer = "" }) => issuer))];
}

/** The issuers of the jwtRules and of the token. An issuer that only the token names is in no policy. */
export function issuersOf(objects: readonly TicketObject[], tokens: readonly GivenToken[]): readonly MadeIssuer[] {
  const rules = rulesOf(objects);
  const all = [...rules.map(({ issuer = "" }) => issuer), ...tokens.map(({ claims }) => String(claims["iss"] ?? ""))];
  const made = [...new Set(all)].map((iss): MadeIssuer => {
    const inline = rules.find((rule) => rule.issuer === iss && rule.jwks !== undefined)?.jwks;
    const token = tokens.find(({ claims }) => String(claims["iss"] ?? "") === iss);
    const published = inline === undefined ? [] : keysOfJwks(inline, token && algorithmOf(token));
    const alg = (token && algorithmOf(token)) ?? "RS256";
    const kid = typeof token?.header["kid"] === "string" && token.header["kid"] !== "" ? token.header["kid"] : "key-1";
    const keys = published.length > 0 ? published : [{ kid, alg }];
    // The name must differ from meshproof's own issuers.
    return {
      name: `ticket-${slug(iss.replace(/^https?:\/\//, ""))}`,
      iss: iss === "" ? "(none)" : iss,
      keys,
      fromJwks: published.length > 0,
    };
  });
  const names = new Map<string, number>();
  return made.map((issuer) => {
    const count = (names.get(issuer.name) ?? 0) + 1;
    names.set(issuer.name, count);
    return count === 1 ? issuer : { ...issuer, name: `${issuer.name}-${count}` };
  });
}

interface RawKey {
  readonly kid?: unknown;
  readonly alg?: unknown;
  readonly kty?: unknown;
  readonly crv?: unknown;
}

/** The entries of a JWKS (RFC 7517 section 5); undefined if it is not one. */
function readJwks(text: string): readonly RawKey[] | undefined {
  try {
    const { keys } = JSON.parse(text) as { keys?: unknown };
    return Array.isArray(keys) ? (keys as RawKey[]) : undefined;
  } catch {
    return undefined;
  }
}

/** The families of algorithms that one RSA key can verify. */
const RSA = /^(RS|PS)\d/;

/**
 * The kids and algorithms of a JWKS, without key material.
 * @param used the token's algorithm, for a key without `alg` that can verify it
 */
export function keysOfJwks(text: string, used: Algorithm | undefined): MadeIssuer["keys"] {
  const curves: Record<string, Algorithm> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", Ed25519: "EdDSA" };
  const rsa = used !== undefined && RSA.test(used) ? used : "RS256";
  const oct = used?.startsWith("HS") === true ? used : "HS256";
  const keys = (readJwks(text) ?? []).map(({ kid, alg, kty, crv }, index) => {
    const named = typeof kid === "string" && kid !== "";
    return {
      kid: named ? kid : `key-${index + 1}`,
      alg: ALGORITHMS.find((name) => name === alg) ?? (kty === "oct" ? oct : (curves[String(crv)] ?? rsa)),
      ...(named ? {} : { anyKid: true }),
    };
  });
  return keys.filter(({ kid }, index) => keys.findIndex((other) => other.kid === kid) === index);
}

/** Paths where the server of meshproof does not serve a JWKS. */
const FAULTS: Readonly<Partial<Record<JwksState, string>>> = {
  unreachable: "fault/500",
  missing: "fault/missing",
  html: "fault/html",
  empty: "fault/empty",
  slow: "fault/slow",
};

/** The state that the user gave for an issuer. */
type StateOf = (iss: string) => JwksState | undefined;

/** The issuers with other keys that a state of `--jwks` needs: of the same kid, or of another. */
export function otherKeysOf(issuers: readonly MadeIssuer[], stateOf: StateOf): MadeIssuer[] {
  return issuers.flatMap((issuer) => {
    const state = stateOf(issuer.iss);
    if (state !== "wrong" && state !== "rotated") return [];
    const keys = issuer.keys.map((key) => (state === "wrong" ? key : { ...key, kid: `${key.kid}-rotated` }));
    return [{ ...issuer, name: `${issuer.name}-${state}`, keys }];
  });
}

type Served = Extract<Difference, { kind: "keys" }>["served"];

/**
 * Rewrites jwtRules to trust meshproof's keys.
 * @param inMesh returns the Service of the ticket that a URL names, if there is one
 * @param unresolved whether it decides that istiod cannot resolve a URL's host; undefined if it can
 */
export function rewriteRules(
  what: string,
  spec: Record<string, unknown>,
  issuers: readonly MadeIssuer[],
  stateOf: StateOf,
  inMesh: (uri: string) => { readonly namespace: string; readonly service: string } | undefined,
  unresolved: (uri: string, iss: string) => Difference["decides"] | undefined,
): {
  readonly spec: Record<string, unknown>;
  readonly rules: readonly JwtRule[];
  readonly differences: readonly Difference[];
  readonly keySets: readonly KeySet[];
} {
  const differences: Difference[] = [];
  const keySets: KeySet[] = [];
  const raw = (spec["jwtRules"] ?? []) as RawRule[];
  const jwtRules = raw.map((rule) => {
    const { name, iss, keys } = issuers.find((one) => one.iss === rule.issuer) ?? issuers[0]!;
    // Istio accepts `jwks_uri` for the same field.
    const { jwks: inline, jwksUri: camel, jwks_uri: snake, ...rest } = rule as RawRule & { jwks_uri?: string };
    const uri = camel ?? snake;
    const tell = (served: Served, decides: Difference["decides"] = "no"): void =>
      void differences.push({
        ...{ kind: "keys", iss, keys: keys.map(({ kid, alg }) => ({ kid, alg })), served },
        ...(uri === undefined ? {} : { uri: withoutCredentials(String(uri)).uri }),
        decides,
      });
    if (inline !== undefined && uri === undefined) {
      const listed = readJwks(String(inline));
      if (listed === undefined || listed.length === 0) {
        tell("unreadable");
        // The ticket's text may be a secret key.
        return { ...rest, jwks: listed === undefined ? "this is not a JSON Web Key Set" : '{"keys":[]}' };
      }
      tell("inline");
      return { ...rest, jwks: `\${jwks.${name}}` };
    }
    // For a rule without keys istiod uses the issuer's URL (OpenID Connect Discovery 1.0, section 4).
    if (uri === undefined && !/^https?:\/\//.test(rule.issuer ?? "")) {
      tell("no-url");
      return rest;
    }
    const said = stateOf(rule.issuer ?? "");
    const lost = said === undefined ? unresolved(String(uri ?? rule.issuer), iss) : undefined;
    const state = lost === undefined ? (said ?? "reachable") : "unreachable";
    const fault = FAULTS[state];
    if (fault !== undefined) {
      if (lost === undefined) tell(state as Served);
      else tell("no-host", lost);
      return { ...rest, jwksUri: `http://nginx-proxy.\${ns}.svc.cluster.local:80/${fault}/${name}` };
    }
    const keysOf = state === "wrong" || state === "rotated" ? `${name}-${state}` : name;
    const own = uri === undefined ? undefined : inMesh(uri);
    if (own !== undefined && uri?.startsWith("http://") === true) {
      if (state === "wrong" || state === "rotated") tell(state);
      tell({ service: `${own.namespace}/${own.service}` });
      const { pathname } = new URL(uri);
      keySets.push({ ...own, path: pathname, issuer: keysOf });
      return { ...rest, jwksUri: withoutCredentials(uri).uri };
    }
    if (state === "wrong" || state === "rotated") {
      tell(state);
      return { ...rest, jwksUri: `\${jwksUri.${keysOf}@outside-http}` };
    }
    // A stand-in cannot replace a Service of the mesh that terminates TLS itself. A URL does not publish symmetric keys.
    const symmetric = keys.some(({ alg }) => alg.startsWith("HS"));
    tell("outside", own === undefined && !symmetric ? "no" : "unknown");
    return { ...rest, jwksUri: `\${jwksUri.${name}@outside-http}` };
  });
  const rules = raw.map((rule) => toRule(what, rule));
  return { spec: raw.length === 0 ? spec : { ...spec, jwtRules }, rules, differences, keySets };
}

function toRule(what: string, rule: RawRule): JwtRule {
  return {
    what,
    iss: rule.issuer ?? "",
    audiences: rule.audiences ?? [],
    fromHeaders: rule.fromHeaders ?? [],
    fromParams: rule.fromParams ?? [],
    fromCookies: rule.fromCookies ?? [],
  };
}

/** The jwtRules of objects. */
export function rulesIn(objects: readonly TicketObject[]): JwtRule[] {
  return rulesOf(objects).map((rule) => toRule("", rule));
}

/** Whether a rule looks for tokens in this place. */
export function looksIn({ fromHeaders, fromParams, fromCookies }: JwtRule, place: TokenPlace): boolean {
  if ("cookie" in place) return fromCookies.includes(place.cookie);
  const nothing = fromHeaders.length + fromParams.length + fromCookies.length === 0;
  if ("query" in place) return nothing ? place.query === "access_token" : fromParams.includes(place.query);
  const name = place.header.toLowerCase();
  if (nothing) return name === "authorization" && place.prefix === "Bearer ";
  return fromHeaders.some((one) => one.name.toLowerCase() === name && (place.prefix ?? "") === (one.prefix ?? ""));
}

/** The first place where a rule looks; undefined for Istio's default, `Authorization: Bearer`. */
export function placeOf({ fromHeaders, fromParams, fromCookies }: JwtRule): TokenPlace | undefined {
  const [header] = fromHeaders;
  if (header !== undefined)
    return { header: header.name, ...(header.prefix === undefined ? {} : { prefix: header.prefix }) };
  if (fromParams[0] !== undefined) return { query: fromParams[0] };
  if (fromCookies[0] !== undefined) return { cookie: fromCookies[0] };
  return undefined;
}
