import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decodeToken, readClaims, shiftToNow } from "./token.ts";

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

describe("shiftToNow", () => {
  it("moves the times and keeps the rest", () => {
    const { spec, moved, expired } = shiftToNow({ iss: "me", sub: "you", iat: 1000, exp: 1300, nbf: 1000 });
    assert.deepEqual(spec, { claims: { iss: "me", sub: "you" }, expiresIn: 3600, notBefore: -60, issuedAt: 0 });
    assert.deepEqual([moved, expired], [["exp", "nbf", "iat"], false]);
  });
  it("keeps a token expired or not yet valid if it was so from the start", () => {
    assert.equal(shiftToNow({ iat: 1000, exp: 900 }).spec.expiresIn, -3600);
    assert.equal(shiftToNow({ iat: 1000, nbf: 1600 }).spec.notBefore, 600);
  });
  it("adds no claim that the token does not have", () => {
    assert.deepEqual(shiftToNow({}), {
      spec: { claims: { iss: null, sub: null, iat: null, exp: null } },
      moved: [],
      expired: false,
    });
  });
});
