/** The tokens of a ticket's matrix: those of the request, and common variants of them. */

import type { Difference, TokenState } from "../model/ticket.ts";
import type { Algorithm, TokenPlace, TokenSpec, TokenVariant } from "../model/token.ts";
import { looksIn, placeOf, type JwtRule, type MadeIssuer } from "./issuers.ts";
import { algorithmOf, canBe, shiftToNow, statesOf, type GivenToken } from "./token.ts";
import type { Ticket } from "./ticket.ts";

const BEARER: TokenPlace = { header: "Authorization", prefix: "Bearer " };

export interface Columns {
  readonly tokens: Readonly<Record<string, TokenSpec>>;
  readonly columns: readonly string[];
  readonly given: string;
  /** The ticket's request at another time: a token had expired, or was not valid yet. */
  readonly otherTimes: readonly { readonly column: string; readonly state: TokenState }[];
  readonly differences: readonly Difference[];
}

export function columnsOf(
  { request, tokens: known, tokenWas, now }: Ticket,
  rules: readonly JwtRule[],
  issuers: readonly MadeIssuer[],
): Columns {
  const differences: Difference[] = [];
  const tokens: Record<string, TokenSpec> = {};
  const names: string[] = [];
  const others: Partial<Record<TokenState, string[]>> = {};
  const add = (specIn: (state: TokenState) => TokenSpec, [state, ...more]: readonly TokenState[]): void => {
    const name = names.length === 0 ? "given" : `given-${names.length + 1}`;
    names.push(name);
    tokens[name] = specIn(state ?? "valid");
    for (const other of more) {
      tokens[`${name}-${other}`] = specIn(other);
      (others[other] ??= []).push(name);
    }
  };
  const addToken = (token: GivenToken, place: TokenPlace | undefined): void => {
    const states = tokenWas !== undefined && canBe(token, tokenWas) ? [tokenWas] : statesOf(token, now);
    const { spec, differences: about } = specOf(token, issuers);
    const { moved } = shiftToNow(token, states[0] ?? "valid");
    differences.push(...about, { kind: "token-anew", moved, was: states[0] ?? "valid", decides: "no" });
    add((state) => ({ ...spec, ...shiftToNow(token, state).spec, ...(place && { in: place }) }), states);
  };
  const some = issuers[0]?.name;
  const left = [...known];
  let mainRule = rules[0];
  let at: { in?: TokenPlace } = {};
  for (const { place, part, value } of request.tokens) {
    const token = value.kind === "opaque" ? undefined : left.shift();
    if (token !== undefined) {
      addToken(token, place);
      if (names.length === 1) at = { in: place };
      mainRule = rules.find(({ iss }) => iss === token.claims["iss"]) ?? mainRule;
      continue;
    }
    if (value.kind === "variable") differences.push({ kind: "token-not-given", part, decides: "unknown" });
    else differences.push({ kind: "opaque-token", part, decides: "no" });
    if (some !== undefined) add(() => ({ issuer: some, variant: "not-a-jwt", in: place }), ["valid"]);
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
    addToken(token, place);
  }
  const otherTimes = (Object.entries(others) as [TokenState, string[]][]).map(([state, moved]) => ({
    column: names.map((name) => (moved.includes(name) ? `${name}-${state}` : name)).join("+"),
    state,
  }));
  const result = (made: Columns["tokens"], more: readonly string[]): Columns => {
    const given = names.length === 0 ? "none" : names.join("+");
    const columns = [...new Set(["none", given, ...otherTimes.map(({ column }) => column), ...more])];
    return { tokens: made, given, columns, otherTimes, differences };
  };
  if (mainRule === undefined) return result(tokens, []);
  if (request.tokens.length === 0 && left.length === 0 && known.length === 0) {
    const place = placeOf(mainRule);
    at = place === undefined ? {} : { in: place };
  }
  const issuer = issuers.find(({ iss }) => iss === mainRule.iss) ?? issuers[0]!;
  const mine = known.find(({ claims }) => claims["iss"] === mainRule.iss) ?? known[0];
  const { iss: _, aud, ...claims } = mine?.claims ?? {};
  const fits = mainRule.audiences.length === 0 || [aud].flat().some((one) => mainRule.audiences.includes(String(one)));
  const valid: TokenSpec = {
    issuer: issuer.name,
    alg:
      tokens["given"]?.issuer === issuer.name && tokens["given"].alg !== undefined
        ? tokens["given"].alg
        : issuer.keys[0]!.alg,
    claims: withoutUndefined({
      ...claims,
      ...{ exp: undefined, iat: undefined, nbf: undefined },
      ...(claims["sub"] === undefined ? { sub: "somebody" } : {}),
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
  return result({ ...tokens, ...more }, Object.keys(more));
}

/** How a token is made, without its claims. */
function specOf(
  token: GivenToken,
  issuers: readonly MadeIssuer[],
): { readonly spec: TokenSpec; readonly differences: readonly Difference[] } {
  const issuer = issuers.find(({ iss }) => iss === token.claims["iss"]) ?? issuers.at(-1)!;
  const alg: Algorithm | undefined = algorithmOf(token);
  const { kid } = token.header;
  const found = issuer.keys.find(
    (key) => (alg === undefined || key.alg === alg) && (kid === undefined || key.kid === kid || key.anyKid === true),
  );
  const stranger = issuer.fromJwks && found === undefined;
  const spec: TokenSpec = {
    issuer: issuer.name,
    alg: found?.alg ?? issuer.keys[0]!.alg,
    ...(stranger ? { signedBy: "unknown-key", header: kid === undefined ? {} : { kid } } : {}),
    // An algorithm that meshproof's own token would not have.
    ...(token.header["alg"] !== undefined && alg === undefined ? { header: { alg: token.header["alg"] } } : {}),
  };
  const kept = { kind: "token-without-key", kid, alg: token.header["alg"], decides: "no" } as const;
  return { spec, differences: stranger ? [kept] : [] };
}

function words(place: TokenPlace): string {
  if ("cookie" in place) return `cookie ${place.cookie}`;
  return "query" in place ? `query parameter ${place.query}` : `header ${place.header}`;
}

function withoutUndefined(object: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined));
}
