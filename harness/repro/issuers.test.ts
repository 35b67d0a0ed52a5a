import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deciding, ticket } from "./fixtures.ts";
import type { GivenToken } from "./token.ts";
import { translate } from "./translate.ts";
import type { Translation } from "./ticket.ts";

const RULE = (rule: object): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec: { jwtRules: [${JSON.stringify({ issuer: "https://idp.example", ...rule })}] }
`;

const made = (rule: object, header: GivenToken["header"]): Translation =>
  translate(ticket(RULE(rule), { tokens: [{ header, claims: { iss: "https://idp.example", sub: "u" } }] }));

const kinds = ({ differences }: Translation): string[] => differences.map(({ kind }) => kind);

describe("the keys of an issuer", () => {
  it("tries a key without kid for a token with any", () => {
    const jwks = JSON.stringify({ keys: [{ kty: "RSA", n: "x", e: "AQAB" }] });
    assert.ok(!kinds(made({ jwks }, { alg: "RS256", kid: "2024" })).includes("token-without-key"));
    assert.ok(!kinds(made({ jwks }, { alg: "RS512", kid: "2024" })).includes("token-without-key"));
    assert.ok(kinds(made({ jwks }, { alg: "ES256", kid: "2024" })).includes("token-without-key"));
  });

  it("keeps the kid of a key that has one", () => {
    const jwks = JSON.stringify({ keys: [{ kty: "RSA", kid: "2023", n: "x", e: "AQAB" }] });
    assert.ok(kinds(made({ jwks }, { alg: "RS256", kid: "2024" })).includes("token-without-key"));
  });

  for (const jwks of ["-----BEGIN PUBLIC KEY-----", '{"keys":[]}', '{"kty":"RSA"}'])
    it(`gives an issuer no keys of meshproof for ${jwks}`, () => {
      const { files } = made({ jwks }, {});
      const text = [...files].flatMap(([file, one]) => (file.startsWith("tickets/") ? [one] : [])).join("\n");
      assert.doesNotMatch(text, /\$\{jwks/);
    });

  it("does not believe that a URL publishes symmetric keys", () => {
    assert.deepEqual(deciding(made({ jwksUri: "https://idp.example/keys" }, { alg: "HS256" })), ["keys unknown"]);
  });
});
