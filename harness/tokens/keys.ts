/** The keys of issuers: made in memory for a run, or read from files if they are published. */

import { createPrivateKey, generateKeyPair as generateKeyPairOfNode, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { exportJWK, generateKeyPair, type JWK } from "jose";
import type { Algorithm, Issuer } from "../model/token.ts";

/** A private key as JWK (RFC 7517), with its kid and alg. */
export interface SigningKey {
  readonly kid: string;
  readonly alg: Algorithm;
  /** Of an RSA key that is shorter than RFC 7518 demands: jose refuses to sign with it. */
  readonly bits?: number;
  readonly jwk: JWK;
}

/**
 * Makes one key: RS* and PS* with 2048 bits (RFC 7518 sections 3.3 and 3.5), ES* on the algorithm's curve (section 3.4),
 * HS* with the length of the hash (section 3.2), EdDSA on Ed25519 (RFC 8037).
 */
export async function generateKey(alg: Algorithm): Promise<JWK> {
  if (alg.startsWith("HS")) return { kty: "oct", k: randomBytes(Number(alg.slice(2)) / 8).toString("base64url") };
  const { privateKey } = await generateKeyPair(alg, { extractable: true });
  return await exportJWK(privateKey);
}

/** An RSA key of any length. */
async function generateShortRsa(modulusLength: number): Promise<JWK> {
  const { privateKey } = await promisify(generateKeyPairOfNode)("rsa", { modulusLength });
  return privateKey.export({ format: "jwk" });
}

/** A key for HMAC with a given secret, under the kid of another key: HS256 unless that one is for HMAC too. */
export function hmacKey({ kid, alg }: SigningKey, secret: Buffer): SigningKey {
  return { kid, alg: alg.startsWith("HS") ? alg : "HS256", jwk: { kty: "oct", k: secret.toString("base64url") } };
}

/** Whether a JWKS has this symmetric key under its kid. */
export function isPublished({ kid, jwk }: SigningKey, jwks: string): boolean {
  const { keys } = JSON.parse(jwks) as { readonly keys: readonly JWK[] };
  return keys.some((key) => key.kid === kid && key.kty === "oct" && key.k === jwk.k);
}

/** The part of a key for a JWKS. A symmetric key is published whole: Envoy accepts HS* keys from a JWKS too. */
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

/** The values of a key that must not be in a report. */
export function privatePartsOf({ jwk }: SigningKey): string[] {
  const { d, p, q, dp, dq, qi, k } = jwk;
  return [d, p, q, dp, dq, qi, k].filter((part) => part !== undefined);
}

/**
 * The keys of an issuer, in the order of its file. RS* and PS* share one RSA key pair under different kids, because making a
 * pair takes 0.1 s or more. Every entry of the JWKS still has its own kid and alg, so a verifier cannot use one for another.
 */
export async function makeKeys(issuer: Issuer): Promise<SigningKey[]> {
  let rsa: Promise<JWK> | undefined;
  return await Promise.all(
    issuer.keys.map(async ({ kid, alg, privateKey, bits }) => {
      if (privateKey !== undefined) {
        const pem = await readFile(join(issuer.folder, privateKey), "utf8");
        return { kid, alg, jwk: createPrivateKey(pem).export({ format: "jwk" }) };
      }
      if (bits !== undefined) return { kid, alg, bits, jwk: await generateShortRsa(bits) };
      const jwk = /^[RP]S/.test(alg) ? (rsa ??= generateKey(alg)) : generateKey(alg);
      return { kid, alg, jwk: await jwk };
    }),
  );
}
