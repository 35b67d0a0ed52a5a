/** The token of a ticket: its header and claims, never its signature. */

import { MeshproofError } from "../model/errors.ts";
import { ALGORITHMS, type Algorithm } from "../model/token.ts";
import type { TokenSpec } from "../model/token.ts";

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

/** Minimum lifetime of a token, longer than a run. */
const LIFETIME_SECONDS = 3600;

/**
 * The claims for a scenario, with their times shifted so that the token was issued now: a ticket's token has usually expired
 * before the ticket is reproduced. The column `expired` tests an expired one.
 */
export function shiftToNow(claims: GivenToken["claims"]): {
  readonly spec: Pick<TokenSpec, "claims" | "expiresIn" | "notBefore" | "issuedAt">;
  /** Names of the claims that were moved. */
  readonly moved: readonly string[];
  readonly expired: boolean;
} {
  const { exp, nbf, iat, ...rest } = claims;
  const seconds = (value: unknown): number | undefined => (typeof value === "number" ? value : undefined);
  const [until, from, at] = [seconds(exp), seconds(nbf), seconds(iat)];
  const stillborn = until !== undefined && at !== undefined && until <= at;
  const moved = Object.entries({ exp: until, nbf: from, iat: at }).flatMap(([k, v]) => (v === undefined ? [] : [k]));
  return {
    spec: {
      // The factory adds the usual claims; those that this token lacks are removed again.
      claims: {
        ...rest,
        ...(rest["iss"] === undefined ? { iss: null } : {}),
        ...(rest["sub"] === undefined ? { sub: null } : {}),
        ...(at === undefined ? { iat: null } : {}),
        ...(until === undefined ? { exp: null } : {}),
      },
      ...(until === undefined ? {} : { expiresIn: stillborn ? -LIFETIME_SECONDS : LIFETIME_SECONDS }),
      ...(from === undefined ? {} : { notBefore: from > (at ?? from) ? from - (at ?? from) : -60 }),
      ...(at === undefined ? {} : { issuedAt: 0 }),
    },
    moved,
    expired: stillborn,
  };
}
