/** The tokens of a ticket's matrix: those of the request, and common variants of them. */

import type { Difference } from "../model/ticket.ts";
import type { Algorithm, TokenPlace, TokenSpec, TokenVariant } from "../model/token.ts";
import { looksIn, placeOf, type JwtRule, type MadeIssuer } from "./issuers.ts";
import { algorithmOf, shiftToNow, type GivenToken } from "./token.ts";
import type { Ticket } from "./ticket.ts";

const BEARER: TokenPlace = { header: "Authorization", prefix: "Bearer " };

export interface Columns {
  readonly tokens: Readonly<Record<string, TokenSpec>>;
  readonly columns: readonly string[];
  readonly given: string;
  readonly differences: readonly Difference[];
}

export function columnsOf(
  { request, tokens: known }: Ticket,
  rules: readonly JwtRule[],
  issuers: readonly MadeIssuer[],
): Columns {
  const differences: Difference[] = [];
  const tokens: Record<string, TokenSpec> = {};
  const names: string[] = [];
  const add = (spec: TokenSpec): void => {
    const name = names.length === 0 ? "given" : `given-${names.length + 1}`;
    names.push(name);
    tokens[name] = spec;
  };
  const some = issuers[0]?.name;
  const left = [...known];
  let mainRule = rules[0];
  let at: { in?: TokenPlace } = {};
  for (const { place, part, value } of request.tokens) {
    const token = value.kind === "opaque" ? undefined : left.shift();
    if (token !== undefined) {
      add({ ...specOf(token, issuers, differences), in: place });
      if (names.length === 1) at = { in: place };
      mainRule = rules.find(({ iss }) => iss === token.claims["iss"]) ?? mainRule;
      continue;
    }
    if (value.kind === "variable") differences.push({ kind: "token-not-given", part, decides: "unknown" });
    else differences.push({ kind: "opaque-token", part, decides: "no" });
    if (some !== undefined) add({ issuer: some, variant: "not-a-jwt", in: place });
  }
  for (const token of left) {
    const rule = rules.find(({ iss }) => iss === token.claims["iss"]) ?? rules[0];
    mainRule = rule;
    const place = rule && placeOf(rule);
    if (place !== undefined) {
      at = { in: place };
      // The token's place in the request is not known, which matters if a rule looks in another place.
      if (rules.some((one) => !looksIn(one, place) || looksIn(one, BEARER) !== looksIn(one, place)))
        differences.push({ kind: "token-place", place: words(place), by: rule!.what, decides: "unknown" });
    }
    add({ ...specOf(token, issuers, differences), ...(place === undefined ? {} : { in: place }) });
  }
  if (mainRule === undefined) return result(tokens, names, [], differences);
  if (request.tokens.length === 0 && left.length === 0 && known.length === 0) {
    const place = placeOf(mainRule);
    at = place === undefined ? {} : { in: place };
  }
  const issuer = issuers.find(({ iss }) => iss === mainRule.iss) ?? issuers[0]!;
  const mine = known.find(({ claims }) => claims["iss"] === mainRule.iss) ?? known[0];
  const shifted = shiftToNow(mine?.claims ?? {});
  const { iss: _, aud, ...claims } = (shifted.spec.claims ?? {}) as Record<string, unknown>;
  const fits = mainRule.audiences.length === 0 || [aud].flat().some((one) => mainRule.audiences.includes(String(one)));
  const valid: TokenSpec = {
    issuer: issuer.name,
    alg:
      tokens["given"]?.issuer === issuer.name && tokens["given"].alg !== undefined
        ? tokens["given"].alg
        : issuer.keys[0]!.alg,
    claims: withoutUndefined({
      ...(mine === undefined ? {} : claims),
      exp: undefined,
      iat: undefined,
      ...(mine !== undefined && claims["sub"] !== null ? {} : { sub: "somebody" }),
      ...(fits ? (aud === undefined ? {} : { aud }) : { aud: mainRule.audiences[0] }),
    }),
    ...at,
  };
  const vary = (variant: TokenVariant): TokenSpec => ({ ...valid, variant });
  const more = {
    valid,
    expired: vary("expired"),
    "other-issuer": vary("other-issuer"),
    "other-audience": { ...valid, claims: { ...valid.claims, aud: "https://other-audience.example" } },
    "other-key": vary("other-key"),
    "other-algorithm": vary("other-algorithm"),
  };
  return result({ ...tokens, ...more }, names, Object.keys(more), differences);
}

function result(
  tokens: Columns["tokens"],
  names: readonly string[],
  more: readonly string[],
  differences: readonly Difference[],
): Columns {
  const given = names.length === 0 ? "none" : names.join("+");
  return { tokens, given, columns: [...new Set(["none", given, ...more])], differences };
}

function specOf(token: GivenToken, issuers: readonly MadeIssuer[], differences: Difference[]): TokenSpec {
  const shifted = shiftToNow(token.claims);
  const issuer = issuers.find(({ iss }) => iss === token.claims["iss"]) ?? issuers.at(-1)!;
  const alg: Algorithm | undefined = algorithmOf(token);
  const { kid } = token.header;
  const found = issuer.keys.find(
    (key) => (alg === undefined || key.alg === alg) && (kid === undefined || key.kid === kid || key.anyKid === true),
  );
  const stranger = issuer.fromJwks && found === undefined;
  if (stranger) differences.push({ kind: "token-without-key", kid, alg: token.header["alg"], decides: "no" });
  differences.push({ kind: "token-anew", moved: shifted.moved, expired: shifted.expired, decides: "no" });
  return {
    issuer: issuer.name,
    alg: found?.alg ?? issuer.keys[0]!.alg,
    ...shifted.spec,
    ...(stranger ? { signedBy: "unknown-key", header: kid === undefined ? {} : { kid } } : {}),
    // An algorithm that meshproof's own token would not have.
    ...(token.header["alg"] !== undefined && alg === undefined ? { header: { alg: token.header["alg"] } } : {}),
  };
}

function words(place: TokenPlace): string {
  if ("cookie" in place) return `cookie ${place.cookie}`;
  return "query" in place ? `query parameter ${place.query}` : `header ${place.header}`;
}

function withoutUndefined(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
