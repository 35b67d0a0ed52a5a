/** Makes a run's tokens from a scenario's descriptions, checks them with a second implementation, and caches them. */

import { appendFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeJwt, decodeProtectedHeader, type JWK } from "jose";
import { MeshproofError } from "../model/errors.ts";
import { secondsNow } from "../model/seconds.ts";
import { didYouMean, invalidScenarios } from "../scenario/problem.ts";
import { readIssuers } from "./issuer.ts";
import { generateKey, hmacKey, isPublished, makeKeys, privatePartsOf, type SigningKey, toPublic } from "./keys.ts";
import { ALGORITHMS, type Algorithm, type Issuer, type TokenSpec, type TokenVariant } from "../model/token.ts";
import { redact } from "../safe/redact.ts";
import { BREAKAGES, breakToken } from "./break.ts";
import { bytesOf, contradictionOf, fieldsOf, isRaw, shorten } from "./raw.ts";
import { breakSignature, type Claims, makeHeader, sign, signParts, signUnderOtherName } from "./sign.ts";
import { type Findings, verifyToken } from "./verify.ts";

export interface Token {
  /** The value after `Authorization: Bearer`. Never write it to a report. */
  readonly compact: string;
  /** For a person: `iss https://issuer.corp.example, alg ES256, kid ES256, signed by another key`. */
  readonly words: string;
}

export interface TokenFactory {
  /**
   * The token for a scenario's description; the same description gives the same token. Relative times count from this call, so
   * such a token is made again each second.
   * @param variant changes the token for one check; overrides the description's variant
   * @param second the time from which relative times count, in seconds since 1970, if not now
   * @throws MeshproofError ERR_SCENARIO_INVALID if the issuer cannot make it
   */
  mint(spec: TokenSpec, variant?: TokenVariant, second?: number): Promise<Token>;
  /** The issuer's JWKS as JSON text (RFC 7517 section 5): the value of `${jwks.<issuer>}` and the reply of a JWKS server. */
  jwks(issuer: string): Promise<string>;
  /** The private keys of every issuer, made if necessary: for another process of the run. */
  keys(): Promise<Readonly<Record<string, readonly SigningKey[]>>>;
  /** Every signature and private part of a key that this process has made or read: none may be in a report. */
  secrets(): string[];
  /** Removes secrets and the signature of any token, known or not. Call it before the text is cut short. */
  redact(text: string): string;
}

export interface TokenFactoryOptions {
  /** The folders of issuers; an issuer of a later one replaces that of the same name. */
  readonly issuersDirs: readonly string[];
  /** The keys that another process of the run has made ({@link TokenFactory.keys}). */
  readonly keys?: Readonly<Record<string, readonly SigningKey[]>> | undefined;
}

/** For tests only: a file to which every secret of the run is written, so that tests can search the results for them. */
const SECRETS_VARIABLE = "MESHPROOF_SECRETS_FILE";

/** Long enough for any run: a token without relative times is made once and used until the run's end. */
const LIFETIME_SECONDS = 24 * 3600;
/** Envoy allows clocks to differ by 60 s (JwtProvider.clock_skew_seconds). */
const EXPIRED_SECONDS = 3600;
const OTHER_ISSUER = "https://other-issuer.example";

/**
 * @throws MeshproofError ERR_SCENARIO_INVALID if an issuer's file is wrong
 */
export async function createTokenFactory({ issuersDirs, keys }: TokenFactoryOptions): Promise<TokenFactory> {
  const made = new Map(Object.entries(keys ?? {}));
  const { issuers, problems } = await readIssuers(issuersDirs);
  if (problems.length > 0) throw invalidScenarios(problems);
  const secrets = new Set<string>();
  const remember = (secret: string): void => {
    const file = process.env[SECRETS_VARIABLE];
    if (file !== undefined && !secrets.has(secret)) appendFileSync(file, `${secret}\n`, { mode: 0o600 });
    secrets.add(secret);
  };

  const keysOf = cached(async (name: string): Promise<readonly SigningKey[]> => {
    const keys = made.get(name) ?? (await makeKeys(findIssuer(issuers, name)));
    for (const part of keys.flatMap(privatePartsOf)) remember(part);
    return keys;
  });

  /** A key of the same type that is in no JWKS. */
  const strangerFor = cached(async (kind: Algorithm): Promise<JWK> => {
    const jwk = await generateKey(kind);
    for (const part of privatePartsOf({ kid: "", alg: kind, jwk })) remember(part);
    return jwk;
  });

  const jwks = cached(async (name: string): Promise<string> => {
    const issuer = findIssuer(issuers, name);
    if (issuer.jwks !== undefined) return (await readFile(join(issuer.folder, issuer.jwks), "utf8")).trim();
    return JSON.stringify({ keys: (await keysOf(name)).map(toPublic) });
  });

  /** Skips short parts, as in broken tokens: they are not secret, and redacting them would destroy reports. */
  const addSecret = (compact: string): void => {
    const signature = compact.split(".")[2] ?? "";
    if (signature.length >= 16) remember(signature);
  };

  const mintCached = cached(async (description: string): Promise<Token> => {
    const [described, variant, second] = JSON.parse(description) as [TokenSpec, TokenVariant, number | null];
    const contradiction = contradictionOf(described, variant);
    if (contradiction !== undefined) throw new MeshproofError("ERR_SCENARIO_INVALID", contradiction);
    const issuer = findIssuer(issuers, described.issuer);
    const key = chooseKey(issuer, await keysOf(described.issuer), described);
    const now = second ?? secondsNow();
    const strange = described.signedBy === "unknown-key" || variant === "other-key";
    const secret = bytesOf(described.hmacSecret);
    const signer = strange
      ? { ...key, jwk: await strangerFor(/^[RP]S/.test(key.alg) ? "RS256" : key.alg) }
      : secret === undefined
        ? key
        : hmacKey(key, secret);
    const header = described.header;
    const spec = header?.["jwk"] === "own" ? { ...described, header: { ...header, jwk: toPublic(signer) } } : described;
    const published = spec.published ? await readPublished(issuer) : undefined;
    const claims = changeClaims(published ? decodeJwt(published) : makeClaims(issuer, spec, now), variant, now);
    let compact: string;
    if (variant === "not-a-jwt") compact = "this-is-not-a-jwt";
    else if (variant === "other-algorithm")
      compact = await signUnderOtherName(claims, signer, otherAlgorithm(issuer, key.alg));
    else if (published !== undefined && (variant === "intact" || variant === "broken-signature")) compact = published;
    else if (key.bits !== undefined || spec.header !== undefined || isRaw(spec))
      compact = await signParts(
        bytesOf(spec.rawHeader) ?? makeHeader(signer, spec.header),
        bytesOf(spec.rawPayload) ?? claims,
        signer,
      );
    else compact = await sign(claims, signer);
    if (variant !== "not-a-jwt") addSecret(compact);
    const good = compact;
    const breakage = BREAKAGES[variant];
    if (variant === "broken-signature") compact = breakSignature(compact);
    if (breakage !== undefined)
      compact = await breakToken(breakage, variant, {
        header: makeHeader(key, spec.header),
        claims,
        key: signer,
        compact,
      });
    if (variant !== "not-a-jwt") addSecret(compact);
    if (breakage !== undefined && compact === good) throw new Error(`the variant ${variant} left the token as it was`);

    const wellFormed = variant !== "not-a-jwt" && breakage?.wellFormed !== false;
    const { alg, kid } = fieldsOf(spec.rawHeader) ?? makeHeader(signer, spec.header);
    const rightHeader = alg === signer.alg && (kid === undefined || kid === signer.kid);
    const swapped = variant === "swapped-parts";
    const keySet = await jwks(spec.issuer);
    const found = verifyToken(compact, keySet, issuer.iss, now);
    // Of bytes that a scenario's author wrote, only the signature is known to be as meant.
    const isOpen = spec.rawHeader !== undefined || spec.rawPayload !== undefined;
    assertFindings(found, {
      wellFormed: isOpen ? found.wellFormed : wellFormed,
      signed:
        (isOpen ? found.wellFormed : wellFormed) &&
        !strange &&
        rightHeader &&
        (secret === undefined || isPublished(signer, keySet)) &&
        (breakage?.signed ?? (breakage === undefined && !["broken-signature", "other-algorithm"].includes(variant))),
      issued: isOpen ? found.issued : wellFormed && !swapped && claims["iss"] === issuer.iss,
      inTime: isOpen ? found.inTime : wellFormed && (swapped || isInTime(claims, now)),
    });
    return { compact, words: describe(compact, described, variant, strange) };
  });

  return {
    mint: (spec, variant = "intact", second = secondsNow()) =>
      mintCached(
        JSON.stringify([
          { ...spec, in: undefined },
          variant === "intact" ? (spec.variant ?? variant) : variant,
          isRelative(spec) ? second : null,
        ]),
      ),
    jwks,
    keys: async () =>
      Object.fromEntries(
        await Promise.all([...issuers.keys()].map(async (name) => [name, await keysOf(name)] as const)),
      ),
    secrets: () => [...secrets],
    redact: (text) => redact(text, [...secrets]),
  };
}

/** Whether a token's description has relative times. */
function isRelative({ expiresIn, notBefore, issuedAt }: TokenSpec): boolean {
  return expiresIn !== undefined || notBefore !== undefined || issuedAt !== undefined;
}

function findIssuer(issuers: ReadonlyMap<string, Issuer>, name: string): Issuer {
  const issuer = issuers.get(name);
  if (issuer !== undefined) return issuer;
  const names = [...issuers.keys()];
  const hint = didYouMean(name, names, `there are ${names.join(", ")}`)!;
  throw new MeshproofError("ERR_SCENARIO_INVALID", `unknown issuer "${name}"`, { hint });
}

function chooseKey(issuer: Issuer, keys: readonly SigningKey[], { alg }: TokenSpec): SigningKey {
  const key = alg === undefined ? keys[0] : keys.find((candidate) => candidate.alg === alg);
  if (key !== undefined) return key;
  throw new MeshproofError("ERR_SCENARIO_INVALID", `issuer ${issuer.name} has no ${alg} key`, {
    hint: `it has ${keys.map((candidate) => candidate.alg).join(", ")}`,
  });
}

async function readPublished({ name, folder, publishedToken }: Issuer): Promise<string> {
  if (publishedToken === undefined)
    throw new MeshproofError("ERR_SCENARIO_INVALID", `issuer ${name} publishes no token`);
  return (await readFile(join(folder, publishedToken), "utf8")).trim();
}

/** The issuer's claims, then the token's; null removes a claim. `expiresIn` overrides a claim `exp`. */
function makeClaims(issuer: Issuer, { claims, expiresIn, notBefore, issuedAt, size }: TokenSpec, now: number): Claims {
  const made = {
    iss: issuer.iss,
    sub: issuer.iss,
    iat: Math.min(now, now + (expiresIn ?? 0)),
    exp: now + LIFETIME_SECONDS,
    ...issuer.claims,
    ...claims,
    ...(expiresIn !== undefined && { exp: now + expiresIn }),
    ...(notBefore !== undefined && { nbf: now + notBefore }),
    ...(issuedAt !== undefined && { iat: now + issuedAt }),
    ...(size !== undefined && { filler: "x".repeat(Math.ceil(size * 0.75)) }),
  };
  return Object.fromEntries(Object.entries(made).filter(([, value]) => value !== null));
}

function changeClaims(claims: Claims, variant: TokenVariant, now: number): Claims {
  if (variant === "other-issuer") return { ...claims, iss: OTHER_ISSUER };
  if (variant === "expired") return { ...claims, iat: now - 2 * EXPIRED_SECONDS, exp: now - EXPIRED_SECONDS };
  return claims;
}

/** The issuer's next algorithm after this one; if it has only one, Envoy's next algorithm. */
function otherAlgorithm(issuer: Issuer, alg: Algorithm): Algorithm {
  const own = [...new Set(issuer.keys.map((key) => key.alg))];
  const list = own.length > 1 ? own : ALGORITHMS;
  return list[(list.indexOf(alg) + 1) % list.length]!;
}

function isInTime({ exp, nbf }: Claims, now: number): boolean {
  return (exp === undefined || Number(exp) > now) && (nbf === undefined || Number(nbf) <= now);
}

/** Throws if a token does not have the intended properties: such a token would prove nothing. */
function assertFindings(found: Findings, expected: Findings): void {
  for (const fact of Object.keys(expected) as (keyof Findings)[])
    if (found[fact] !== expected[fact])
      throw new Error(`a token was made to be ${fact}: ${expected[fact]}, and node:crypto finds ${found[fact]}`);
}

function describe(compact: string, spec: TokenSpec, variant: TokenVariant, strange: boolean): string {
  if (variant === "not-a-jwt") return "text that is not a JWT";
  const breakage = BREAKAGES[variant];
  if (breakage !== undefined) return `a token of ${spec.issuer}, ${breakage.words}`;
  const written = [
    ...(spec.rawHeader === undefined ? [] : [`header ${shorten(spec.rawHeader)}`]),
    ...(spec.rawPayload === undefined ? [] : [`payload ${shorten(spec.rawPayload)}`]),
  ];
  const secret = spec.hmacSecret === undefined ? [] : ["HMAC with a chosen secret"];
  if (written.length > 0) return [`a token of ${spec.issuer}`, ...written, ...secret].join(", ");
  const { alg, kid } = decodeProtectedHeader(compact);
  const { iss } = decodeJwt(compact);
  const words = [
    iss === undefined ? "no iss" : `iss ${iss}`,
    `alg ${String(alg)}`,
    kid === undefined ? "no kid" : `kid ${String(kid)}`,
  ];
  if (spec.published) words.push("published sample");
  if (spec.claims !== undefined) words.push(`claims ${JSON.stringify(spec.claims)}`);
  if (spec.expiresIn !== undefined)
    words.push(spec.expiresIn < 0 ? `expired ${-spec.expiresIn} s ago` : `expires after ${spec.expiresIn} s`);
  if (spec.header !== undefined) words.push(`header ${JSON.stringify(spec.header)}`);
  if (spec.notBefore !== undefined) words.push(`nbf ${spec.notBefore} s from now`);
  if (spec.issuedAt !== undefined) words.push(`iat ${spec.issuedAt} s from now`);
  words.push(...secret);
  if (spec.size !== undefined) words.push(`${compact.length} bytes`);
  if (strange) words.push("signed by another key");
  if (variant === "broken-signature") words.push("signature broken");
  if (variant === "other-algorithm") words.push(`signed with the algorithm of its kid, not ${String(alg)}`);
  if (variant === "expired") words.push(`expired ${EXPIRED_SECONDS} s ago`);
  return words.join(", ");
}

/** Computes each argument's result once; concurrent callers share it. A failure is not cached. */
function cached<Argument extends string, Result>(
  work: (argument: Argument) => Promise<Result>,
): (argument: Argument) => Promise<Result> {
  const results = new Map<Argument, Promise<Result>>();
  return (argument) => {
    const known = results.get(argument);
    if (known !== undefined) return known;
    const result = work(argument);
    results.set(argument, result);
    result.catch(() => results.delete(argument));
    return result;
  };
}
