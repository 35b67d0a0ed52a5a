/**
 * A second verifier for tokens, with node:crypto only: jose makes the tokens, so jose must not be what checks them. Reads a
 * JWKS like Envoy's jwt_authn: kid and alg choose the key.
 */

import { constants, createHmac, createPublicKey, type JsonWebKey, timingSafeEqual, verify } from "node:crypto";

/** The verified properties of a token. */
export interface Findings {
  /** Three base64url parts, the first two of them JSON objects (RFC 7519 section 7.2). */
  readonly wellFormed: boolean;
  /** A key of the JWKS has the header's kid and alg and made the signature. */
  readonly signed: boolean;
  /** `iss` is the expected one. */
  readonly issued: boolean;
  /** `exp` has not passed and `nbf` has, to the second. */
  readonly inTime: boolean;
}

/** @param now seconds since 1970 */
export function verifyToken(compact: string, jwks: string, issuer: string, now: number): Findings {
  const parts = compact.split(".");
  const [header, claims] = parts.slice(0, 2).map((part) => parseObject(Buffer.from(part, "base64url")));
  if (parts.length !== 3 || !/^[\w.-]*$/.test(compact) || header === undefined || claims === undefined)
    return { wellFormed: false, signed: false, issued: false, inTime: false };
  const { keys } = JSON.parse(jwks) as { keys: (JsonWebKey & { kid?: string; alg?: string })[] };
  const signed = keys
    .filter(
      (key) =>
        (header["kid"] === undefined || (key.kid ?? header["kid"]) === header["kid"]) &&
        (key.alg ?? header["alg"]) === header["alg"],
    )
    .some((key) => verifySignature(String(header["alg"]), key, `${parts[0]}.${parts[1]}`, parts[2]!));
  const { exp, nbf, iss } = claims;
  const inTime = (exp === undefined || Number(exp) > now) && (nbf === undefined || Number(nbf) <= now);
  return { wellFormed: true, signed, issued: iss === issuer, inTime };
}

/** Whether a signature (base64url) is the key's signature over the data, by RFC 7518 section 3 and RFC 8037 section 3.1. */
export function verifySignature(alg: string, key: JsonWebKey, data: string, signature: string): boolean {
  const bytes = Buffer.from(data);
  const given = Buffer.from(signature, "base64url");
  const hash = `sha${alg.slice(2)}`;
  const family = alg.slice(0, 2);
  if (family === "HS") {
    if (key.kty !== "oct") return false;
    const expected = createHmac(hash, Buffer.from(key.k!, "base64url")).update(bytes).digest();
    return expected.length === given.length && timingSafeEqual(expected, given);
  }
  const type = { RS: "RSA", PS: "RSA", ES: "EC", Ed: "OKP" }[family];
  if (type === undefined || key.kty !== type) return false;
  const publicKey = createPublicKey({ key, format: "jwk" });
  switch (family) {
    case "RS":
      return verify(hash, bytes, { key: publicKey, padding: constants.RSA_PKCS1_PADDING }, given);
    case "PS": {
      const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST };
      return verify(hash, bytes, { key: publicKey, ...pss }, given);
    }
    case "ES":
      return verify(hash, bytes, { key: publicKey, dsaEncoding: "ieee-p1363" }, given);
    default:
      return verify(null, bytes, publicKey, given);
  }
}

/** A JSON object; nothing if the bytes are not one. */
export function parseObject(bytes: Buffer): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}
