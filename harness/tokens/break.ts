/** Makes broken tokens that jose refuses to make: RFC 7515, RFC 7519 and RFC 8725 define what a verifier must do with them. */

import { createHmac, createPublicKey, type JsonWebKey } from "node:crypto";
import { MeshproofError } from "../model/errors.ts";
import type { TokenVariant } from "../model/token.ts";
import { type SigningKey, toPublic } from "./keys.ts";
import { type Claims, signBytes } from "./sign.ts";

/** The parts of a good token. */
export interface Good {
  readonly header: Readonly<Record<string, unknown>>;
  readonly claims: Claims;
  readonly key: SigningKey;
  readonly compact: string;
}

interface Breakage {
  readonly words: string;
  /** The expected result of the second implementation; default well formed and not signed. */
  readonly wellFormed?: boolean;
  readonly signed?: boolean;
  /** The first letters of the algorithms that have this form; default all. */
  readonly family?: "RS" | "ES";
  make(good: Good): string | Promise<string>;
}

const encode = (value: unknown): string => encodeText(JSON.stringify(value));
const encodeText = (text: string): string => Buffer.from(text).toString("base64url");
const partsOf = ({ compact }: Good): [string, string, string] => compact.split(".") as [string, string, string];

/** The given header and payload, with a valid signature of the key over these bytes. */
async function signText({ key }: Good, header: string, payload: string): Promise<string> {
  const data = `${header}.${payload}`;
  return `${data}.${await signBytes(data, key)}`;
}

/** The header names another algorithm, but the signature is valid for the key's own. */
function named(alg: unknown): (good: Good) => Promise<string> {
  return (good) => signText(good, encode({ ...good.header, alg }), partsOf(good)[1]);
}

/** RFC 8725 section 2.1: an HMAC with the public key as its secret. */
function hmacWith(secretOf: (key: JsonWebKey) => Buffer | string): (good: Good) => string {
  return (good) => {
    const data = `${encode({ ...good.header, alg: "HS256" })}.${partsOf(good)[1]}`;
    const secret = secretOf(toPublic(good.key));
    return `${data}.${createHmac("sha256", secret).update(data).digest("base64url")}`;
  };
}

function replaceMiddle(text: string): string {
  const middle = text.length >> 1;
  return `${text.slice(0, middle)}!${text.slice(middle + 1)}`;
}

function changeSignature(change: (signature: Buffer) => Buffer): (good: Good) => string {
  return (good) => {
    const [header, payload, signature] = partsOf(good);
    return `${header}.${payload}.${change(Buffer.from(signature, "base64url")).toString("base64url")}`;
  };
}

function rearrange(arrange: (header: string, payload: string, signature: string) => string): (good: Good) => string {
  return (good) => arrange(...partsOf(good));
}

/** Encodes unsigned big-endian bytes as an ASN.1 DER integer. */
function derInteger(bytes: Buffer): Buffer {
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const rest = bytes.subarray(start);
  const value = rest[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), rest]) : rest;
  return Buffer.concat([Buffer.from([2, value.length]), value]);
}

function toDer(signature: Buffer): Buffer {
  const half = signature.length / 2;
  const body = Buffer.concat([derInteger(signature.subarray(0, half)), derInteger(signature.subarray(half))]);
  return Buffer.concat([Buffer.from(body.length < 0x80 ? [0x30, body.length] : [0x30, 0x81, body.length]), body]);
}

const pem = (key: JsonWebKey): string =>
  createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "pem" }).toString();

const malformed = { wellFormed: false } as const;

/** Each broken form by its name. */
export const BREAKAGES: Partial<Record<TokenVariant, Breakage>> = {
  "alg-none": {
    words: "alg none, no signature",
    make: (good) => `${encode({ ...good.header, alg: "none" })}.${partsOf(good)[1]}.`,
  },
  "alg-none-signed": { words: "alg none, and a signature", make: named("none") },
  "alg-none-odd-case": {
    words: "alg nOnE, no signature",
    make: (good) => `${encode({ ...good.header, alg: "nOnE" })}.${partsOf(good)[1]}.`,
  },
  "alg-missing": { words: "no alg", make: named(undefined) },
  "alg-empty": { words: "alg is empty", make: named("") },
  "alg-not-text": { words: "alg is a number", make: named(256) },
  "alg-unknown": { words: "an unknown alg", make: named("XX256") },
  "alg-lower-case": {
    words: "alg in small letters",
    make: (good) => named(good.key.alg.toLowerCase())(good),
  },
  "hmac-with-public-pem": {
    words: "HS256 with the RSA public key in PEM as its secret",
    family: "RS",
    make: hmacWith(pem),
  },
  "hmac-with-public-der": {
    words: "HS256 with the RSA public key in DER as its secret",
    family: "RS",
    make: hmacWith((key) => createPublicKey({ key, format: "jwk" }).export({ type: "spki", format: "der" })),
  },
  "hmac-with-public-jwk": {
    words: "HS256 with the RSA public key's JWK as its secret",
    family: "RS",
    make: hmacWith((key) => JSON.stringify(key)),
  },
  "other-payload": {
    words: "claims changed after signing",
    make: (good) => rearrange((h, _p, s) => `${h}.${encode({ ...good.claims, sub: "admin" })}.${s}`)(good),
  },
  "other-header": {
    words: "header changed after signing",
    make: (good) => rearrange((_h, p, s) => `${encode({ ...good.header, cty: "changed" })}.${p}.${s}`)(good),
  },
  "no-signature": { words: "the signature is empty", make: rearrange((h, p) => `${h}.${p}.`) },
  "two-parts": { words: "no third part", ...malformed, make: rearrange((h, p) => `${h}.${p}`) },
  "four-parts": { words: "a fourth part", ...malformed, make: rearrange((h, p, s) => `${h}.${p}.${s}.${s}`) },
  "empty-header": { words: "the header is empty", ...malformed, make: rearrange((_h, p, s) => `.${p}.${s}`) },
  "empty-payload": { words: "the payload is empty", ...malformed, make: rearrange((h, _p, s) => `${h}..${s}`) },
  "swapped-parts": { words: "header and payload swapped", make: rearrange((h, p, s) => `${p}.${h}.${s}`) },
  "short-signature": {
    words: "the signature's last byte is missing",
    make: changeSignature((signature) => signature.subarray(0, -1)),
  },
  "long-signature": {
    words: "the signature has a byte too many",
    make: changeSignature((signature) => Buffer.concat([signature, Buffer.from([0])])),
  },
  "zero-signature": {
    words: "the signature is all zeros",
    make: changeSignature((signature) => Buffer.alloc(signature.length)),
  },
  "der-signature": { words: "the ECDSA signature in DER", family: "ES", make: changeSignature(toDer) },
  "padded-signature": {
    words: "padding after the signature",
    ...malformed,
    make: rearrange((h, p, s) => `${h}.${p}.${s}==`),
  },
  "padded-payload": {
    words: "padding after the payload",
    ...malformed,
    make: rearrange((h, p, s) => `${h}.${p}==.${s}`),
  },
  "header-not-base64url": {
    words: "a ! in the header",
    ...malformed,
    make: rearrange((h, p, s) => `${replaceMiddle(h)}.${p}.${s}`),
  },
  "payload-not-base64url": {
    words: "a ! in the payload",
    ...malformed,
    make: rearrange((h, p, s) => `${h}.${replaceMiddle(p)}.${s}`),
  },
  "signature-not-base64url": {
    words: "a ! in the signature",
    ...malformed,
    make: rearrange((h, p, s) => `${h}.${p}.${replaceMiddle(s)}`),
  },
  "header-not-json": {
    words: "the header is not JSON",
    ...malformed,
    make: (good) => signText(good, encodeText(`{"alg":${JSON.stringify(good.key.alg)},`), partsOf(good)[1]),
  },
  "payload-not-json": {
    words: "the payload is not JSON, signed well",
    ...malformed,
    make: (good) => signText(good, partsOf(good)[0], encodeText(JSON.stringify(good.claims).slice(0, -1))),
  },
  "payload-not-object": {
    words: "the payload is a list, signed well",
    ...malformed,
    make: (good) => signText(good, partsOf(good)[0], encode([good.claims])),
  },
  "duplicate-alg": {
    words: "alg twice, none first",
    signed: true,
    make: (good) =>
      signText(good, encodeText(JSON.stringify(good.header).replace("{", '{"alg":"none",')), partsOf(good)[1]),
  },
  "duplicate-claim": {
    words: "sub twice, admin first",
    signed: true,
    make: (good) =>
      signText(good, partsOf(good)[0], encodeText(JSON.stringify(good.claims).replace("{", '{"sub":"admin",'))),
  },
};

/** Whether an algorithm has this broken form. */
export function canBreak(variant: TokenVariant, alg: string): boolean {
  const family = BREAKAGES[variant]?.family;
  return family === undefined || (family === "RS" ? /^[RP]S/.test(alg) : alg.startsWith(family));
}

/** @throws MeshproofError ERR_SCENARIO_INVALID if the algorithm has no such form */
export async function breakToken(breakage: Breakage, variant: TokenVariant, good: Good): Promise<string> {
  if (!canBreak(variant, good.key.alg))
    throw new MeshproofError("ERR_SCENARIO_INVALID", `a token of ${good.key.alg} has no variant ${variant}`, {
      hint: `it is for ${breakage.family}* keys`,
    });
  return await breakage.make(good);
}
