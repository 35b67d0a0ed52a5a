/** Issuers of a ticket, each with keys of our own. */

import { ALGORITHMS, type Algorithm } from "../model/token.ts";
import { withoutCredentials } from "./placeholders.ts";
import type { TokenPlace } from "../model/token.ts";
import { algorithmOf, type GivenToken } from "./token.ts";
import type { TicketObject } from "./translate.ts";

export interface MadeIssuer {
  /** Name of its file in scenarios/issuers. */
  readonly name: string;
  readonly iss: string;
  readonly keys: readonly { readonly kid: string; readonly alg: Algorithm }[];
  /** Whether the ticket has its JWKS, so that it is known which keys it has. */
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

/** Small letters, digits and single hyphens. */
export function slug(text: string): string {
  const made = text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "")
    .slice(0, 40)
    .replace(/-$/, "");
  return made === "" ? "x" : made;
}

/** The issuers that the jwtRules and the token name. One that only the token names is in no policy. */
export function issuersOf(
  objects: readonly TicketObject[],
  token: GivenToken | undefined,
): { readonly made: readonly MadeIssuer[]; readonly changes: readonly string[] } {
  const rules = objects
    .filter(({ kind }) => kind === "RequestAuthentication")
    .flatMap(({ spec }) => (spec?.["jwtRules"] ?? []) as RawRule[]);
  const all = [
    ...rules.map(({ issuer = "" }) => issuer),
    ...(token === undefined ? [] : [String(token.claims["iss"] ?? "")]),
  ];
  const changes: string[] = [];
  const made = [...new Set(all)].map((iss): MadeIssuer => {
    const inline = rules.find((rule) => rule.issuer === iss && rule.jwks !== undefined)?.jwks;
    const own = token !== undefined && String(token.claims["iss"] ?? "") === iss;
    const published = inline === undefined ? [] : keysOfJwks(inline);
    const alg = (own && token && algorithmOf(token)) || "RS256";
    const kid =
      own && typeof token?.header["kid"] === "string" && token.header["kid"] !== "" ? token.header["kid"] : "key-1";
    const keys = published.length > 0 ? published : [{ kid, alg }];
    // Its name must not be one of the issuers that meshproof brings.
    return {
      name: `ticket-${slug(iss.replace(/^https?:\/\//, ""))}`,
      iss: iss === "" ? "(none)" : iss,
      keys,
      fromJwks: published.length > 0,
    };
  });
  const names = new Map<string, number>();
  const unique = made.map((issuer) => {
    const count = (names.get(issuer.name) ?? 0) + 1;
    names.set(issuer.name, count);
    return count === 1 ? issuer : { ...issuer, name: `${issuer.name}-${count}` };
  });
  for (const { iss, keys } of unique)
    changes.push(
      `issuer ${iss} has keys of ours instead of its own: ${keys.map(({ kid, alg }) => `kid ${kid} (${alg})`).join(", ")}`,
    );
  return { made: unique, changes };
}

/** Kids and algorithms of a JWKS (RFC 7517 section 5); no key material. */
function keysOfJwks(text: string): MadeIssuer["keys"] {
  let parsed: { keys?: { kid?: unknown; alg?: unknown; kty?: unknown; crv?: unknown }[] };
  try {
    parsed = JSON.parse(text) as typeof parsed;
  } catch {
    return [];
  }
  const curves: Record<string, Algorithm> = { "P-256": "ES256", "P-384": "ES384", "P-521": "ES512", Ed25519: "EdDSA" };
  const keys = (Array.isArray(parsed.keys) ? parsed.keys : []).map(({ kid, alg, kty, crv }, index) => ({
    kid: typeof kid === "string" && kid !== "" ? kid : `key-${index + 1}`,
    alg: ALGORITHMS.find((name) => name === alg) ?? (kty === "oct" ? "HS256" : (curves[String(crv)] ?? "RS256")),
  }));
  return keys.filter(({ kid }, index) => keys.findIndex((other) => other.kid === kid) === index);
}

/** jwtRules that trust our keys. */
export function rewriteRules(
  what: string,
  spec: Record<string, unknown>,
  issuers: readonly MadeIssuer[],
  jwks: "reachable" | "unreachable",
): { readonly spec: Record<string, unknown>; readonly rules: readonly JwtRule[]; readonly changes: readonly string[] } {
  const changes: string[] = [];
  const raw = (spec["jwtRules"] ?? []) as RawRule[];
  const jwtRules = raw.map((rule) => {
    const { name } = issuers.find(({ iss }) => iss === rule.issuer) ?? issuers[0]!;
    // Istio takes `jwks_uri` for the same.
    const { jwks: inline, jwksUri: camel, jwks_uri: snake, ...rest } = rule as RawRule & { jwks_uri?: string };
    const jwksUri = camel ?? snake;
    if (inline !== undefined && jwksUri === undefined) {
      changes.push(`${what}: the JWKS of ${rule.issuer} became one with our keys`);
      return { ...rest, jwks: `\${jwks.${name}}` };
    }
    const bare = jwksUri === undefined ? undefined : withoutCredentials(String(jwksUri));
    const from =
      bare === undefined
        ? "found by OpenID discovery"
        : `at ${bare.uri}${bare.cut ? ", its user info and query left out" : ""}`;
    if (jwks === "unreachable") {
      changes.push(`${what}: the jwksUri of ${rule.issuer} (${from}) became one that answers 500`);
      return { ...rest, jwksUri: `http://nginx-proxy.\${ns}.svc.cluster.local:80/fault/500/${name}` };
    }
    changes.push(
      `${what}: the keys of ${rule.issuer} (${from}) are served by a host of ours, outside the mesh: no policy of the ticket is in the way`,
    );
    return { ...rest, jwksUri: `\${jwksUri.${name}@outside-http}` };
  });
  const rules = raw.map((rule): JwtRule => ({
    what,
    iss: rule.issuer ?? "",
    audiences: rule.audiences ?? [],
    fromHeaders: rule.fromHeaders ?? [],
    fromParams: rule.fromParams ?? [],
    fromCookies: rule.fromCookies ?? [],
  }));
  return { spec: raw.length === 0 ? spec : { ...spec, jwtRules }, rules, changes };
}

/** Where a rule looks first; undefined for Istio's default, `Authorization: Bearer`. */
export function placeOf({ fromHeaders, fromParams, fromCookies }: JwtRule): TokenPlace | undefined {
  const [header] = fromHeaders;
  if (header !== undefined)
    return { header: header.name, ...(header.prefix === undefined ? {} : { prefix: header.prefix }) };
  if (fromParams[0] !== undefined) return { query: fromParams[0] };
  if (fromCookies[0] !== undefined) return { cookie: fromCookies[0] };
  return undefined;
}
