import assert from "node:assert/strict";
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { createLocalJWKSet, decodeJwt, decodeProtectedHeader, type JSONWebKeySet, jwtVerify } from "jose";
import { MeshproofError } from "../model/errors.ts";
import { BREAKAGES, canBreak } from "./break.ts";
import { createTokenFactory } from "./factory.ts";
import { ALGORITHMS, TOKEN_VARIANTS, type TokenVariant } from "../model/token.ts";
import { redact } from "../safe/redact.ts";
import { verifySignature, verifyToken } from "./verify.ts";

const issuersDir = join(import.meta.dirname, "../../scenarios/issuers");
const CORP = "https://issuer.corp.example";
const factory = await createTokenFactory({ issuersDirs: [issuersDir] });

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

async function temporaryFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "meshproof-test-"));
  t.after(() => rm(folder, { recursive: true }));
  return folder;
}

test("the JWKS has one public key per algorithm, each with its own kid", async () => {
  const { keys } = JSON.parse(await factory.jwks("corp")) as { keys: Record<string, string>[] };
  assert.deepEqual(
    keys.map(({ kid, alg, use, kty }) => [kid, alg, use, kty]),
    ALGORITHMS.map((alg) => [
      alg,
      alg,
      "sig",
      { RS: "RSA", PS: "RSA", ES: "EC", HS: "oct", Ed: "OKP" }[alg.slice(0, 2)],
    ]),
  );
  for (const key of keys) for (const part of ["d", "p", "q", "dp", "dq", "qi"]) assert(!(part in key), part);
  const lengths = keys.filter(({ kty }) => kty === "oct").map(({ k }) => Buffer.from(k!, "base64url").length);
  assert.deepEqual(lengths, [32, 48, 64]);
});

for (const alg of ALGORITHMS) {
  test(`${alg}: both implementations accept the good token`, async () => {
    const { compact, words } = await factory.mint({ issuer: "corp", alg });
    const jwks = await factory.jwks("corp");
    assert.deepEqual(decodeProtectedHeader(compact), { alg, kid: alg, typ: "JWT" });
    assert.deepEqual(verifyToken(compact, jwks, CORP, nowSeconds()), {
      wellFormed: true,
      signed: true,
      issued: true,
      inTime: true,
    });
    // jose uses only public keys of a JWKS; Envoy also accepts symmetric ones.
    const set = JSON.parse(jwks) as { keys: { alg: string; k?: string }[] };
    const { k } = set.keys.find((key) => key.alg === alg)!;
    const { payload } =
      k === undefined
        ? await jwtVerify(compact, createLocalJWKSet(set as JSONWebKeySet), { issuer: CORP })
        : await jwtVerify(compact, Buffer.from(k, "base64url"), { issuer: CORP });
    assert.equal(payload.sub, "alice");
    assert.equal(words, `iss ${CORP}, alg ${alg}, kid ${alg}`);
  });

  const wrong: [TokenVariant, Partial<ReturnType<typeof verifyToken>>, string][] = [
    ["broken-signature", { signed: false }, `iss ${CORP}, alg ${alg}, kid ${alg}, signature broken`],
    ["other-key", { signed: false }, `iss ${CORP}, alg ${alg}, kid ${alg}, signed by another key`],
    ["other-issuer", { issued: false }, `iss https://other-issuer.example, alg ${alg}, kid ${alg}`],
    ["expired", { inTime: false }, `iss ${CORP}, alg ${alg}, kid ${alg}, expired 3600 s ago`],
    ["not-a-jwt", { wellFormed: false, signed: false, issued: false, inTime: false }, "text that is not a JWT"],
  ];
  for (const [variant, differs, words] of wrong)
    test(`${alg}: ${variant} is wrong only in that way`, async () => {
      const token = await factory.mint({ issuer: "corp", alg }, variant);
      const findings = verifyToken(token.compact, await factory.jwks("corp"), CORP, nowSeconds());
      assert.deepEqual(findings, { wellFormed: true, signed: true, issued: true, inTime: true, ...differs });
      assert.equal(token.words, words);
    });

  test(`${alg}: other-algorithm has a valid signature, but another algorithm's name`, async () => {
    const { compact, words } = await factory.mint({ issuer: "corp", alg }, "other-algorithm");
    const { alg: named, kid } = decodeProtectedHeader(compact);
    const next = ALGORITHMS[(ALGORITHMS.indexOf(alg) + 1) % ALGORITHMS.length];
    assert.deepEqual([named, kid], [next, alg]);
    assert.equal(words, `iss ${CORP}, alg ${named}, kid ${alg}, signed with the algorithm of its kid, not ${named}`);
    const { keys } = JSON.parse(await factory.jwks("corp")) as { keys: { alg: string; kty: string }[] };
    const data = compact.slice(0, compact.lastIndexOf("."));
    const signature = compact.slice(data.length + 1);
    // RS* and PS* share one key pair.
    const takers = keys.filter((key) => verifySignature(alg, key, data, signature));
    assert.equal(takers.length, /^[RP]S/.test(alg) ? 6 : 1);
    assert(
      !keys.some((key) => verifySignature(next!, key, data, signature)),
      "no key verifies it with the named algorithm",
    );
  });
}

test("the broken signature differs from the good one in one byte", async () => {
  const good = Buffer.from(
    (await factory.mint({ issuer: "istio-sample", published: true })).compact.split(".")[2]!,
    "base64url",
  );
  const bad = Buffer.from(
    (await factory.mint({ issuer: "istio-sample", published: true }, "broken-signature")).compact.split(".")[2]!,
    "base64url",
  );
  assert.deepEqual(
    [...good.keys()].filter((index) => good[index] !== bad[index]),
    [good.length / 2],
  );
});

test("the published token and JWKS are used verbatim", async () => {
  const { compact, words } = await factory.mint({ issuer: "istio-sample", published: true });
  assert.equal(compact, (await readFile(join(issuersDir, "istio-sample.jwt"), "utf8")).trim());
  assert.equal(
    await factory.jwks("istio-sample"),
    (await readFile(join(issuersDir, "istio-sample.json"), "utf8")).trim(),
  );
  const kid = "DHFbpoIUqrY8t2zpA2qXfCmr5VO5ZEr4RzHU_-envvQ";
  assert.equal(words, `iss testing@secure.istio.io, alg RS256, kid ${kid}, published sample`);
});

test("every variant can be made from the published token", async () => {
  const original = decodeJwt((await factory.mint({ issuer: "istio-sample", published: true })).compact);
  for (const variant of TOKEN_VARIANTS.filter((name) => canBreak(name, "RS256"))) {
    const { compact } = await factory.mint({ issuer: "istio-sample", published: true }, variant);
    if (variant === "not-a-jwt" || BREAKAGES[variant] !== undefined) continue;
    assert.equal(decodeJwt(compact)["foo"], "bar", variant);
    if (variant === "other-algorithm") assert.equal(decodeProtectedHeader(compact).alg, "RS384");
    if (["other-key", "broken-signature", "other-algorithm"].includes(variant))
      assert.deepEqual(decodeJwt(compact), original);
  }
});

test("the sample issuer's published private key signs for its published JWKS", async () => {
  const { compact } = await factory.mint({ issuer: "istio-sample" });
  const findings = verifyToken(compact, await factory.jwks("istio-sample"), "testing@secure.istio.io", nowSeconds());
  assert.deepEqual(findings, { wellFormed: true, signed: true, issued: true, inTime: true });
});

test("a relative time counts from the moment of the request, not from the start of the run", async (t) => {
  const begin = 1_900_000_000;
  t.mock.timers.enable({ apis: ["Date"], now: begin * 1000 });
  const own = await createTokenFactory({ issuersDirs: [issuersDir] });
  const times = async (): Promise<unknown[]> => {
    const { exp, nbf, iat } = decodeJwt((await own.mint({ issuer: "corp", expiresIn: -30 })).compact);
    const late = decodeJwt((await own.mint({ issuer: "corp", notBefore: 40, issuedAt: 600 })).compact);
    return [exp, nbf, iat, late.nbf, late.iat];
  };
  const lasting = await own.mint({ issuer: "corp" });
  assert.deepEqual(await times(), [begin - 30, undefined, begin - 30, begin + 40, begin + 600]);
  const same = await own.mint({ issuer: "corp", expiresIn: -30 });
  assert.equal((await own.mint({ issuer: "corp", expiresIn: -30 })).compact, same.compact);
  t.mock.timers.setTime((begin + 45) * 1000);
  assert.deepEqual(await times(), [begin + 15, undefined, begin + 15, begin + 85, begin + 645]);
  assert.equal((await own.mint({ issuer: "corp" })).compact, lasting.compact);
});

test("claims extend, replace and remove; expiresIn is relative", async () => {
  const { compact, words } = await factory.mint({
    issuer: "corp",
    alg: "ES256",
    claims: { aud: ["a", "b"], sub: null, groups: { nested: [1, true] } },
    expiresIn: -90,
  });
  const { iat, exp, ...claims } = decodeJwt(compact);
  assert.deepEqual(claims, { iss: CORP, aud: ["a", "b"], groups: { nested: [1, true] } });
  assert.equal(exp, iat);
  assert(exp! < nowSeconds() - 60, "beyond the clock skew that Envoy allows");
  assert.equal(
    words,
    `iss ${CORP}, alg ES256, kid ES256, claims {"aud":["a","b"],"sub":null,"groups":{"nested":[1,true]}}, expired 90 s ago`,
  );
});

test("a token's own claim iss makes a token of another issuer", async () => {
  const { compact } = await factory.mint({ issuer: "corp", alg: "ES256", claims: { iss: "https://evil.example" } });
  const { signed, issued } = verifyToken(compact, await factory.jwks("corp"), CORP, nowSeconds());
  assert.deepEqual({ signed, issued }, { signed: true, issued: false });
});

test("signedBy stranger is not in the JWKS, and a check's variant wins over the token's", async () => {
  const jwks = await factory.jwks("corp");
  const stranger = await factory.mint({ issuer: "corp", alg: "EdDSA", signedBy: "unknown-key" });
  assert.equal(verifyToken(stranger.compact, jwks, CORP, nowSeconds()).signed, false);
  const expired = await factory.mint({ issuer: "corp", variant: "not-a-jwt" }, "expired");
  assert.equal(verifyToken(expired.compact, jwks, CORP, nowSeconds()).wellFormed, true);
  assert.equal((await factory.mint({ issuer: "corp", variant: "not-a-jwt" }, "intact")).compact, "this-is-not-a-jwt");
});

test("a token is made once", async () => {
  const [one, two] = await Promise.all([
    factory.mint({ issuer: "corp", alg: "ES512" }),
    factory.mint({ issuer: "corp", alg: "ES512" }),
  ]);
  assert.equal(one, two);
});

test("secrets are known, and redacted with every signature", async () => {
  const { compact } = await factory.mint({ issuer: "corp", alg: "HS256" });
  const [head, claims, signature] = compact.split(".");
  const jwks = await factory.jwks("corp");
  const { k } = (JSON.parse(jwks) as { keys: { alg: string; k?: string }[] }).keys.find(({ alg }) => alg === "HS256")!;
  for (const secret of [signature!, k!]) assert(factory.secrets().includes(secret));
  assert.equal(factory.redact(`"Bearer ${compact}" ${k}`), `"Bearer ${head}.${claims}.[signature]" [secret]`);
  for (const secret of factory.secrets()) assert(!factory.redact(jwks).includes(secret));
  const unknown = "eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.abc";
  assert.equal(redact(`a ${unknown} b`), "a eyJhbGciOiJub25lIn0.eyJpc3MiOiJ4In0.[signature] b");
});

test("a process that gets another process's keys makes the same JWKS", async () => {
  const keys = JSON.parse(JSON.stringify(await factory.keys())) as Awaited<ReturnType<typeof factory.keys>>;
  const later = await createTokenFactory({ issuersDirs: [issuersDir], keys });
  const jwks = await factory.jwks("corp");
  assert.equal(await later.jwks("corp"), jwks);
  const { compact } = await later.mint({ issuer: "corp", alg: "PS512" });
  assert.equal(verifyToken(compact, jwks, CORP, nowSeconds()).signed, true);
});

test("separate factories have separate keys", async () => {
  const other = await createTokenFactory({ issuersDirs: [issuersDir] });
  assert.notEqual(await other.jwks("corp"), await factory.jwks("corp"));
});

test("reports tokens that an issuer cannot make", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, "small.yaml"), "iss: https://small.example\nkeys: [{ kid: a, alg: ES256 }]\n");
  const small = await createTokenFactory({ issuersDirs: [folder] });
  const rejects = async (work: Promise<unknown>, message: string, hint?: string): Promise<void> => {
    await assert.rejects(work, (error) => {
      assert(error instanceof MeshproofError);
      assert.deepEqual([error.code, error.message, error.hint], ["ERR_SCENARIO_INVALID", message, hint]);
      return true;
    });
  };
  await rejects(small.mint({ issuer: "smal" }), 'unknown issuer "smal"', 'did you mean "small"?');
  await rejects(small.mint({ issuer: "small", alg: "RS256" }), "issuer small has no RS256 key", "it has ES256");
  await rejects(small.mint({ issuer: "small", published: true }), "issuer small publishes no token");
  assert.equal(decodeProtectedHeader((await small.mint({ issuer: "small" }, "other-algorithm")).compact).alg, "ES384");
  await writeFile(
    join(folder, "bad.yaml"),
    "iss: https://bad.example\nkeys: [{ kid: a, alg: ES256 }, { kid: a, alg: ES384 }]\n",
  );
  await rejects(
    createTokenFactory({ issuersDirs: [folder] }),
    `${join(folder, "bad.yaml")}:1:1 two keys have the same kid`,
  );
});

test("published keys need an origin", async (t) => {
  const folder = await temporaryFolder(t);
  await copyFile(join(issuersDir, "istio-sample.pem"), join(folder, "key.pem"));
  await chmod(join(folder, "key.pem"), 0o600);
  await writeFile(join(folder, "a.yaml"), "iss: a\nkeys: [{ kid: a, alg: RS256, privateKey: key.pem }]\n");
  await assert.rejects(createTokenFactory({ issuersDirs: [folder] }), /published keys and tokens need an origin/);
});

for (const variant of Object.keys(BREAKAGES) as TokenVariant[])
  for (const alg of ["RS256", "ES256"] as const)
    test(`${alg}: ${variant} is made and confirmed to be wrong, or refused if there is no such form`, async () => {
      const minted = factory.mint({ issuer: "corp", alg }, variant);
      if (!canBreak(variant, alg)) return await assert.rejects(minted, /has no variant/);
      const { compact } = await minted;
      assert.notEqual(compact, (await factory.mint({ issuer: "corp", alg })).compact);
      assert(!factory.secrets().includes(""), "redacting an empty secret would destroy reports");
    });

test("header fields are replaced, added and removed, and the signature is valid for them", async () => {
  const jwks = await factory.jwks("corp");
  const { compact } = await factory.mint({
    issuer: "corp",
    header: { kid: null, crit: ["exp"], jwk: "own" },
    notBefore: -10,
    issuedAt: 30,
    size: 8192,
  });
  const header = decodeProtectedHeader(compact);
  assert.deepEqual([header.alg, header.kid, header.crit, header.jwk?.kty], ["RS256", undefined, ["exp"], "RSA"]);
  assert(verifyToken(compact, jwks, CORP, nowSeconds()).signed);
  const { nbf, iat } = decodeJwt(compact);
  assert.equal(iat! - nbf!, 40);
  assert(compact.length > 8192);
});

test("header and payload are sent as their author wrote them, with a valid signature", async () => {
  const payload = ` {"iss": "${CORP}"}\n`;
  const { compact, words } = await factory.mint({
    issuer: "corp",
    rawHeader: '{"kid":"RS256","alg":"RS256"}',
    rawPayload: payload,
  });
  const [header, sent] = compact.split(".").map((part) => Buffer.from(part, "base64url").toString());
  assert.equal(header, '{"kid":"RS256","alg":"RS256"}');
  assert.equal(sent, payload);
  assert.equal(words, `a token of corp, header ${JSON.stringify(header)}, payload ${JSON.stringify(payload)}`);
  assert.deepEqual(verifyToken(compact, await factory.jwks("corp"), CORP, nowSeconds()), {
    wellFormed: true,
    signed: true,
    issued: true,
    inTime: true,
  });
});

test("a payload can be bytes that are not JSON and not text", async () => {
  const { compact, words } = await factory.mint({ issuer: "corp", alg: "ES256", rawPayload: { base64: "/w==" } });
  const [header = "", payload = "", signature = ""] = compact.split(".");
  assert.deepEqual(Buffer.from(payload, "base64url"), Buffer.from([0xff]));
  const { keys } = JSON.parse(await factory.jwks("corp")) as { keys: { kid: string }[] };
  const key = keys.find(({ kid }) => kid === "ES256")!;
  assert.ok(verifySignature("ES256", key, `${header}.${payload}`, signature));
  assert.equal(words, 'a token of corp, payload {"base64":"/w=="}');
});

test("a chosen secret signs with HMAC, under the kid of the issuer's key; an empty one too", async () => {
  for (const hmacSecret of ["", "secret", { base64: "AP8=" }]) {
    const { compact, words } = await factory.mint({ issuer: "corp", alg: "RS256", hmacSecret });
    assert.deepEqual(decodeProtectedHeader(compact), { alg: "HS256", kid: "RS256", typ: "JWT" });
    const [header = "", payload = "", signature = ""] = compact.split(".");
    const bytes = typeof hmacSecret === "string" ? Buffer.from(hmacSecret) : Buffer.from(hmacSecret.base64, "base64");
    const key = { kty: "oct", k: bytes.toString("base64url") };
    assert.ok(verifySignature("HS256", key, `${header}.${payload}`, signature));
    assert.match(words, /HMAC with a chosen secret$/);
  }
  const { compact } = await factory.mint({ issuer: "corp", alg: "HS512", hmacSecret: "secret" });
  assert.equal(decodeProtectedHeader(compact).alg, "HS512");
});

test("a part that was written as bytes cannot be broken in another way", async () => {
  await assert.rejects(factory.mint({ issuer: "corp", rawPayload: "{}" }, "expired"), /has no variant expired/);
  await assert.rejects(
    factory.mint({ issuer: "corp", hmacSecret: "a", variant: "alg-none" }),
    /has no variant alg-none/,
  );
});

test("a key shorter than RFC 7518 demands signs, and its JWKS has its length", async () => {
  const { compact } = await factory.mint({ issuer: "short" });
  const { keys } = JSON.parse(await factory.jwks("short")) as { keys: { n: string }[] };
  assert.equal(Buffer.from(keys[0]!.n, "base64url").length * 8, 1024);
  assert.equal(Buffer.from(compact.split(".")[2]!, "base64url").length * 8, 1024);
});

test("bits are for RSA keys", async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(
    join(folder, "odd.yaml"),
    "iss: https://odd.example\nkeys:\n  - { kid: a, alg: ES256, bits: 1024 }\n",
  );
  await assert.rejects(
    createTokenFactory({ issuersDirs: [folder] }),
    new RegExp('key a: "bits" is for RSA keys, and ES256 is not for one'),
  );
});
