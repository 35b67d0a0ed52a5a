import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeToken, readClaims, shiftToNow, statesOf } from "./token.ts";

const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString("base64url");

describe("decodeToken", () => {
  it("reads only header and claims", () => {
    const token = decodeToken(`Bearer ${part({ alg: "ES256", kid: "k" })}.${part({ iss: "me" })}.c2lnbmF0dXJl\n`);
    assert.deepEqual(token, { header: { alg: "ES256", kid: "k" }, claims: { iss: "me" } });
  });
  it("does not repeat refused text in the message", () => {
    assert.throws(
      () => decodeToken("c2VjcmV0.c2VjcmV0.c2VjcmV0"),
      (error: Error) => !/c2Vjc|secret/.test(error.message),
    );
    assert.throws(() => readClaims("[1]"), /JSON object/);
  });
});

const token = (claims: object) => ({ header: {}, claims: claims as Record<string, unknown> });
const NOW = 100_000;

describe("what a token may have been when it was sent", () => {
  const states = (claims: object) => statesOf(token(claims), NOW).join(" ");
  it("only valid while it is valid now, or has no times", () => {
    assert.equal(states({}), "valid");
    assert.equal(states({ iat: 1000, nbf: 1000, exp: NOW + 300 }), "valid");
    assert.equal(states({ exp: NOW - 30 }), "valid", "Envoy's tolerance");
    assert.equal(states({ exp: 0, nbf: 0 }), "valid", "Envoy takes 0 for no time");
  });
  it("valid or expired, if it has expired since", () => {
    assert.equal(states({ iat: 1000, exp: 1300 }), "valid expired");
    assert.equal(states({ exp: 1300 }), "valid expired");
    assert.equal(states({ nbf: 1000, exp: 1300 }), "valid expired");
  });
  it("only expired, if it was so from the start", () => {
    assert.equal(states({ iat: 1700, exp: 1600 }), "expired");
  });
  it("early, if its nbf is still to come, or came after its issue", () => {
    assert.equal(states({ nbf: NOW + 600 }), "early");
    assert.equal(states({ iat: 1000, nbf: NOW + 600, exp: NOW + 900 }), "early");
    assert.equal(states({ iat: 1000, nbf: 1600 }), "valid early");
    assert.equal(states({ iat: 1000, nbf: 1600, exp: 1900 }), "valid expired early");
  });
});

describe("shiftToNow", () => {
  it("moves the times and keeps the rest", () => {
    const given = token({ iss: "me", sub: "you", iat: 1000, exp: 1300, nbf: 1000 });
    const claims = { iss: "me", sub: "you" };
    const moved = ["exp", "nbf", "iat"];
    const times = (expiresIn: number, notBefore: number, issuedAt: number) => ({ expiresIn, notBefore, issuedAt });
    assert.deepEqual(shiftToNow(given, "valid"), { spec: { claims, ...times(3600, -60, 0) }, moved });
    assert.deepEqual(shiftToNow(given, "expired"), { spec: { claims, ...times(-3600, -7200, -7200) }, moved });
    assert.deepEqual(shiftToNow(given, "early"), { spec: { claims, ...times(7200, 3600, 0) }, moved });
  });
  it("adds no claim that the token does not have", () => {
    const claims = { iss: null, sub: null, iat: null, exp: null };
    assert.deepEqual(shiftToNow(token({}), "valid"), { spec: { claims }, moved: [] });
  });
  it("keeps a time that is not a number, which Envoy refuses", () => {
    const claims = { iss: null, sub: null, iat: null, exp: "1700000000" };
    assert.deepEqual(shiftToNow(token({ exp: "1700000000" }), "valid"), { spec: { claims }, moved: [] });
  });
});
