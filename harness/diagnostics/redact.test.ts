import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { redactText, redactValue } from "./redact.ts";

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
  it("keeps what a JWKS in a string says, without symmetric and private keys, short ones too", () => {
    const kept = redactValue({ local_jwks: { inline_string: JSON.stringify(symmetric) } });
    assert.match(assertClean(kept), /\\"kid\\":\\"one\\"/);
    assert.match(assertClean(redactValue(pair)), /modulus-is-public/);
    assert.doesNotMatch(JSON.stringify(redactValue(pair)), /"p":"x"|"r":"y"/);
    assert.deepEqual(redactValue({ kty: "oct", k: "x" }), { kty: "oct", k: "[secret]" });
  });

  it("has no private key of a certificate, whatever way Envoy shows it", () => {
    assertClean(redactValue({ private_key: { inline_bytes: KEY }, certificate_chain: { inline_string: PEM } }));
    assertClean(redactValue({ tls: { privateKey: KEY } }));
    assert.deepEqual(redactValue({ inline_bytes: KEY }), { inline_bytes: "[secret]" });
  });

  it("has nothing of a Secret but its name", () => {
    const secret = { kind: "Secret", metadata: { name: "tls" }, data: { "tls.key": KEY }, stringData: { a: PEM } };
    assert.deepEqual(redactValue(secret), {
      kind: "Secret",
      metadata: { name: "tls" },
      data: "[secret]",
      stringData: "[secret]",
    });
  });

  it("leaves everything else as it was", () => {
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
    it(`has no secret of ${what}`, () => void assertClean(redactText(text)));

  it("keeps a token's header and claims", () => {
    assert.match(redactText(TOKEN), /^eyJhbGciOiJIUzI1NiJ9\.eyJpc3MiOiJqb2UifQ\.\[signature\]$/);
  });
});
