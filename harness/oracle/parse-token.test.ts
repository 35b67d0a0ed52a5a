import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ODD_HEADERS, ODD_PAYLOADS, ODD_TOKENS } from "./odd-tokens.fixture.ts";
import { parse } from "./parse-token.ts";

const encode = (text: string | Buffer): string => Buffer.from(text as string).toString("base64url");
const HEADER = encode('{"alg":"RS256","kid":"k"}');
const PAYLOAD = encode('{"iss":"i","sub":"s"}');

/** Envoy 1.40.0's answers (test/e2e/oracle.e2e.ts checks them with a real Envoy). */
describe("a token is read as Envoy's library reads it", () => {
  for (const [payload, status] of ODD_PAYLOADS)
    it(`payload ${JSON.stringify(payload.toString("latin1").slice(0, 60))}`, () => {
      assert.equal(parse(`${HEADER}.${encode(payload)}.c2ln`, undefined).status, status);
    });
  for (const [header, status] of ODD_HEADERS)
    it(`header ${header}`, () => {
      assert.equal(parse(`${encode(header)}.${PAYLOAD}.c2ln`, undefined).status, status);
    });
  for (const [words, odd, status] of ODD_TOKENS)
    it(words, () => {
      assert.equal(parse(odd(HEADER, PAYLOAD, "c2ln"), undefined).status, status);
    });
});
