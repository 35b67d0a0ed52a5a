/** The keys of issuers: made in memory for a run, or read where they are published anyhow. */

import { createPrivateKey, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { exportJWK, generateKeyPair } from "jose";
import type { JWK } from "jose";
import type { Issuer } from "../model/token.ts";
import type { Algorithm } from "../model/token.ts";

/** A private key as JWK (RFC 7517), with its kid and alg. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: Algorithm;
  readonly jwk: JWK;
}

/**
 * Makes one key. RS* and PS* of 2048 bits (RFC 7518 sections 3.3 and 3.5), ES* on the curve of the algorithm (section 3.4),
 * HS* as long as the hash (section 3.2), EdDSA on Ed25519 (RFC 8037).
 */
export async function generateKey(alg: Algorithm): Promise<JWK> {
  if (alg.startsWith("HS")) return { kty: "oct", k: randomBytes(Number(alg.slice(2)) / 8).toString("base64url") };
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return await exportJWK(privateKey);
}

/** The part of a key that a JWKS publishes. A symmetric key has no other part: Envoy takes HS* keys from a JWKS as well. */
export function toPublic({ kid, alg, jwk }: SigningKey): JWK {
  const { kty, n, e, crv, x, y, k } = jwk;
  const parts = { kty, n, e, crv, x, y, ...(kty === "oct" && { k }) };
  return {
    ...Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)),
    kid,
    alg,
    use: "sig",
  };
}

/** The values that must not be in a report. */
export function privatePartsOf({ jwk }: SigningKey): string[] {
  const { d, p, q, dp, dq, qi, k } = jwk;
  return [d, p, q, dp, dq, qi, k].filter((part) => part !== undefined);
}

/**
 * The keys of an issuer, in the order of its file. RS* and PS* share one RSA key pair under different kids: a pair takes a
 * tenth of a second and more to make, and every entry of the JWKS still has a kid and an alg of its own, so that a
 * verifier cannot use one for another.
 */
export async function makeKeys(issuer: Issuer, issuersDir: string): Promise<SigningKey[]> {
  let rsa: Promise<JWK> | undefined;
  return await Promise.all(
    issuer.keys.map(async ({ kid, alg, privateKey }) => {
      if (privateKey !== undefined) {
        const pem = await readFile(join(issuersDir, privateKey), "utf8");
        return { kid, alg, jwk: createPrivateKey(pem).export({ format: "jwk" }) };
      }
      const jwk = /^[RP]S/.test(alg) ? (rsa ??= generateKey(alg)) : generateKey(alg);
      return { kid, alg, jwk: await jwk };
    }),
  );
}
