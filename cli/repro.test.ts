import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine, readRequest } from "../harness/repro/index.ts";
import { againBy } from "./ticket.ts";

const TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJlLW9mLXRoZS10b2tlbg";
const UNSIGNED = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJ4In0.";

describe("the command that repeats a ticket", () => {
  it("has the same arguments, quoted for a shell", () => {
    const request = readRequest("GET /it's", ["x-a: 1"]);
    assert.equal(
      againBy(
        ["a ticket/"],
        { expect: 403, jwks: ["unreachable", "https://b.example=wrong"], minimize: true, name: "t" },
        { request },
      ),
      `meshproof repro 'a ticket/' --request 'GET /it'\\''s' --header 'x-a: 1' --expect 403 --jwks unreachable --jwks 'https://b.example=wrong' --minimize --name t`,
    );
  });

  it("has a token without its signature, from any option", () => {
    const request = readRequest("GET /", []);
    const curl = readCurlLine(`curl -H 'Authorization: Bearer ${TOKEN}' -u me:password https://shop.example/orders`);
    for (const [options, ticket, expected] of [
      [{ token: TOKEN }, { request }, `--request 'GET /' --token ${UNSIGNED}`],
      [{ token: ` Bearer ${TOKEN}\n` }, { request }, `--request 'GET /' --token ${UNSIGNED}`],
      [{ token: "@token.jwt" }, { request }, "--request 'GET /' --token @token.jwt"],
      [{ claims: '{"iss":"x"}' }, { request }, `--request 'GET /' --claims '{"iss":"x"}'`],
      [
        {},
        { request: curl },
        `--request 'GET https://shop.example/orders' --header 'Authorization: Basic this-is-not-a-jwt' --token ${UNSIGNED}`,
      ],
    ] as const)
      assert.equal(againBy(["t"], { ...options, jwks: [] }, ticket), `meshproof repro t ${expected}`);
  });
});
