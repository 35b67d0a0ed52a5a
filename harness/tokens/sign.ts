/** Makes compact JWTs (RFC 7515 section 7.1) with jose, and changes them. */

import { createHmac, type webcrypto } from "node:crypto";
import { CompactSign, importJWK } from "jose";
import type { SigningKey } from "./keys.ts";
import type { Algorithm } from "../model/token.ts";

export type Claims = Readonly<Record<string, unknown>>;

/** A header in the order alg, kid, typ, then the rest; null removes a field. */
export function makeHeader(
  { kid, alg }: SigningKey,
  more: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  return Object.fromEntries(Object.entries({ alg, kid, typ: "JWT", ...more }).filter(([, value]) => value !== null));
}

/** A token with any header and any payload, as fields or as bytes, signed over these bytes with the key's own algorithm. */
export async function signParts(header: Claims | Buffer, payload: Claims | Buffer, key: SigningKey): Promise<string> {
  const data = [header, payload]
    .map((part) => (Buffer.isBuffer(part) ? part : Buffer.from(JSON.stringify(part))).toString("base64url"))
    .join(".");
  return `${data}.${await signBytes(data, key)}`;
}

/** A signed token whose header has the key's alg and kid. */
export async function sign(claims: Claims, { kid, alg, jwk }: SigningKey): Promise<string> {
  return await new CompactSign(encode(claims))
    .setProtectedHeader({ alg, kid, typ: "JWT" })
    .sign(await importJWK(jwk, alg));
}

/**
 * A token that is signed with the key's own algorithm, but whose header names another one. Only the name is wrong, so a
 * verifier that looks only at the key accepts it.
 */
export async function signUnderOtherName(claims: Claims, key: SigningKey, named: Algorithm): Promise<string> {
  return await signParts({ alg: named, kid: key.kid, typ: "JWT" }, claims, key);
}

/** The token with the bits of a middle byte of its signature flipped: the last characters may be padding bits. */
export function breakSignature(compact: string): string {
  const end = compact.lastIndexOf(".") + 1;
  const signature = Buffer.from(compact.slice(end), "base64url");
  const middle = signature.length >> 1;
  signature[middle] = signature[middle]! ^ 0xff;
  return compact.slice(0, end) + signature.toString("base64url");
}

/** Signs any bytes (base64url) with the platform's own functions: jose signs only with the algorithm that the header names. */
export async function signBytes(text: string, { alg, jwk }: SigningKey): Promise<string> {
  // WebCrypto has no HMAC with an empty key.
  if (jwk.kty === "oct")
    return createHmac(`sha${alg.slice(2)}`, Buffer.from(jwk.k ?? "", "base64url"))
      .update(text)
      .digest("base64url");
  const hash = `SHA-${alg.slice(2)}`;
  const algorithms = {
    RS: { name: "RSASSA-PKCS1-v1_5", hash },
    PS: { name: "RSA-PSS", hash, saltLength: Number(alg.slice(2)) / 8 },
    ES: { name: "ECDSA", hash, namedCurve: jwk.crv ?? "" },
    Ed: { name: "Ed25519" },
  };
  const algorithm = algorithms[alg.slice(0, 2) as keyof typeof algorithms];
  const key = await crypto.subtle.importKey("jwk", jwk as webcrypto.JsonWebKey, algorithm, false, ["sign"]);
  return Buffer.from(await crypto.subtle.sign(algorithm, key, Buffer.from(text))).toString("base64url");
}

function encode(claims: Claims): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(claims));
}
