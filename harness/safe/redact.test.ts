import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redact, redactValue } from "./redact.ts";

const KEY = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";
const SIGNATURE = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const TOKEN = `eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.${SIGNATURE}`;
const PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\n-----END RSA PRIVATE KEY-----";
const symmetric = { keys: [{ kty: "oct", kid: "one", k: KEY }] };
const pair = { keys: [{ kty: "RSA", n: "modulus-is-public", e: "AQAB", d: KEY, p: "x", oth: [{ r: "y" }] }] };

function assertClean(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  for (const secret of [KEY, SIGNATURE, "MIIEpAIBAAKCAQEA"]) assert.ok(!text.includes(secret), text);
  return text;
}

describe("a config without its secrets", () => {
  it("keeps a JWKS in a string, without symmetric and private keys, short ones too", () => {
    const kept = redactValue({ local_jwks: { inline_string: JSON.stringify(symmetric) } });
    assert.match(assertClean(kept), /\\"kid\\":\\"one\\"/);
    assert.match(assertClean(redactValue(pair)), /modulus-is-public/);
    assert.doesNotMatch(JSON.stringify(redactValue(pair)), /"p":"x"|"r":"y"/);
    assert.deepEqual(redactValue({ kty: "oct", k: "x" }), { kty: "oct", k: "[secret]" });
  });

  it("has no private key of a certificate, in each of Envoy's forms", () => {
    assertClean(redactValue({ private_key: { inline_bytes: KEY }, certificate_chain: { inline_string: PEM } }));
    assertClean(redactValue({ tls: { privateKey: KEY } }));
    assert.deepEqual(redactValue({ inline_bytes: KEY }), { inline_bytes: "[secret]" });
  });

  it("keeps only the name of a Secret", () => {
    const secret = { kind: "Secret", metadata: { name: "tls" }, data: { "tls.key": KEY }, stringData: { a: PEM } };
    assert.deepEqual(redactValue(secret), {
      kind: "Secret",
      metadata: { name: "tls" },
      data: "[secret]",
      stringData: "[secret]",
    });
  });

  it("leaves everything else unchanged", () => {
    const config = { name: "virtualInbound", k: 1, p: ["a"], d: null, text: "{not json", number: 3 };
    assert.deepEqual(redactValue(config), config);
  });
});

describe("text without its secrets", () => {
  for (const [what, text] of Object.entries({
    "a token": `GET /headers?token=${TOKEN} 200`,
    "a bearer": `authorization: Bearer ${TOKEN}`,
    "an opaque bearer": `"Authorization":"Bearer ${KEY}"`,
    "a private key": `said ${PEM} and went on`,
    "a cut private key": "-----BEGIN PRIVATE KEY-----\nMIIEpAIBAAKCAQEA",
    "a JWKS": JSON.stringify(symmetric),
    "a JWKS in a string": JSON.stringify({ a: JSON.stringify(symmetric) }),
    "a JWKS in a string in a string": JSON.stringify({ a: JSON.stringify({ b: JSON.stringify(pair) }) }),
  }))
    it(`has no secret of ${what}`, () => void assertClean(redact(text)));

  it("keeps a token's header and claims", () => {
    assert.match(redact(TOKEN), /^eyJhbGciOiJIUzI1NiJ9\.eyJpc3MiOiJqb2UifQ\.\[signature\]$/);
  });
});

describe("text as a reader needs it", () => {
  for (const text of [
    "host eyebrow1.foo.svc.cluster.local, MonkeyJoe.example.com",
    "by authorization: RBAC: access denied",
    "curl -H 'Authorization: Bearer $TOKEN' http://a/b",
    "Bearer eyJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UifQ.[signature]",
    'www-authenticate: Bearer realm="http://a.b/c", error="invalid_token"',
    "Basic training; token: required; the token: iss https://issuer.example, alg RS256",
    "key: request.auth.claims[iss]\nvalues: [me]",
    "spiffe://cluster.local/ns/foo/sa/sleep",
    "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----",
  ])
    it(`keeps ${JSON.stringify(text)}`, () => assert.equal(redact(text), text));

  it("keeps public keys", () => {
    const jwks = JSON.stringify({
      keys: [
        { kty: "RSA", n: KEY, e: "AQAB" },
        { kty: "EC", crv: "P-256", x: KEY, y: KEY },
      ],
    });
    assert.equal(redact(jwks), jwks);
  });
});

describe("text of many megabytes", () => {
  // With a backtracking expression each of these took minutes, or overflowed the stack.
  for (const [what, piece] of Object.entries({
    backslashes: "\\",
    "one letter": "a",
    "beginnings of keys": "-----BEGIN PRIVATE KEY-----\n",
    "ends of keys": "-----END PRIVATE KEY-----\n",
    "beginnings of tokens": "eyJ.",
    names: "authorization:",
    "percent signs": "%25",
    "lines of one length": `${"x".repeat(76)}\n`,
  }))
    it(`is read to its end: ${what}`, () => {
      redact(piece.repeat(2_500_000 / piece.length));
    });
});
