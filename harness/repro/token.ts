/** The token of a ticket: its header and claims, never its signature. */

import { MeshproofError } from "../model/errors.ts";
import { TOKEN_STATES, type TokenState } from "../model/ticket.ts";
import { type Algorithm, ALGORITHMS, type TokenSpec } from "../model/token.ts";

export interface GivenToken {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Readonly<Record<string, unknown>>;
}

/**
 * Reads header and claims of a compact JWS (RFC 7515 section 7.1), without verifying the signature.
 * @throws MeshproofError ERR_USAGE if it is not a JWS; the message does not repeat the text
 */
export function decodeToken(compact: string): GivenToken {
  const [header, claims] = compact
    .trim()
    .replace(/^Bearer +/i, "")
    .split(".");
  return { header: readPart(header, "header"), claims: readPart(claims, "payload") };
}

/** @throws MeshproofError ERR_USAGE if it is not a JSON object */
export function readClaims(text: string): GivenToken {
  return { header: {}, claims: readObject(text, "--claims takes a JSON object") };
}

function readPart(part: string | undefined, what: string): Record<string, unknown> {
  return readObject(
    Buffer.from(part ?? "", "base64url").toString(),
    `--token is not a JWT: its ${what} is not a JSON object in base64url`,
  );
}

function readObject(text: string, complaint: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === "object" && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // reported below, without the text
  }
  throw new MeshproofError("ERR_USAGE", complaint, { hint: "meshproof repro --help shows examples" });
}

/** The algorithm in the header, if Envoy knows it. */
export function algorithmOf({ header }: GivenToken): Algorithm | undefined {
  return ALGORITHMS.find((alg) => alg === header["alg"]);
}

/** Envoy's tolerance for `exp` and `nbf`; Istio does not change it. */
const SKEW_SECONDS = 60;

/** More than a run takes. */
const LONG_SECONDS = 3600;

interface Times {
  readonly exp?: number;
  readonly nbf?: number;
  readonly iat?: number;
}

/** The claims with a time. Envoy takes 0 for none, and refuses what is not a positive number, which is sent as it is. */
function timesOf({ claims }: GivenToken): Times {
  const times = ["exp", "nbf", "iat"].flatMap((name) => {
    const value = claims[name];
    return typeof value === "number" && value > 0 && Number.isSafeInteger(Math.trunc(value)) ? [[name, value]] : [];
  });
  return Object.fromEntries(times) as Times;
}

/**
 * What a token may have been when the reporter sent it, some time between its issue and now: the first is the likeliest. `early`: its
 * `nbf` had not come.
 * @param now seconds since 1970
 */
export function statesOf(token: GivenToken, now: number): readonly [TokenState, ...TokenState[]] {
  const { exp = Infinity, nbf = -Infinity, iat = nbf } = timesOf(token);
  const issued = Math.min(iat, now);
  const valid = Math.max(issued, nbf - SKEW_SECONDS) <= Math.min(now, exp + SKEW_SECONDS);
  const early = issued + SKEW_SECONDS < nbf;
  const expired = exp + SKEW_SECONDS < now && nbf <= now + SKEW_SECONDS;
  const all = TOKEN_STATES.filter((state) => ({ valid, early, expired })[state]);
  const [first = "valid", ...others] = all;
  return [first, ...others];
}

/** Whether a token can have this state at any time. */
export function canBe(token: GivenToken, state: TokenState): boolean {
  const { exp, nbf } = timesOf(token);
  return state === "valid" || (state === "expired" ? exp : nbf) !== undefined;
}

/** The claims for a scenario, with their times moved so that the token has this state now. */
export function shiftToNow(
  token: GivenToken,
  state: TokenState,
): {
  readonly spec: Pick<TokenSpec, "claims" | "expiresIn" | "notBefore" | "issuedAt">;
  /** Names of the claims that were moved. */
  readonly moved: readonly string[];
} {
  const times = timesOf(token);
  const { exp: until, nbf: from, iat: at } = times;
  const rest = Object.fromEntries(Object.entries(token.claims).filter(([name]) => !(name in times)));
  const stillborn = until !== undefined && at !== undefined && until <= at;
  const past = state === "expired" && !stillborn;
  return {
    spec: {
      // The factory adds the usual claims; those that this token lacks are removed again.
      claims: {
        ...Object.fromEntries(["iss", "sub", "iat", "exp"].flatMap((name) => (name in times ? [] : [[name, null]]))),
        ...rest,
      },
      ...(until === undefined
        ? {}
        : { expiresIn: { valid: LONG_SECONDS, expired: -LONG_SECONDS, early: 2 * LONG_SECONDS }[state] }),
      ...(from === undefined
        ? {}
        : { notBefore: { valid: -SKEW_SECONDS, expired: -2 * LONG_SECONDS, early: LONG_SECONDS }[state] }),
      ...(at === undefined ? {} : { issuedAt: past ? -2 * LONG_SECONDS : 0 }),
    },
    moved: Object.keys(times),
  };
}
