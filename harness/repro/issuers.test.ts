import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deciding, ticket } from "./fixtures.ts";
import type { GivenToken } from "./token.ts";
import { translate } from "./translate.ts";
import type { Ticket, Translation } from "./ticket.ts";

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

  it("come from a server in the state that --jwks names, for all issuers or for one", () => {
    const yaml = `${RULE({ jwksUri: "https://idp.example/keys" })}---${RULE({ issuer: "https://b.example" }).replace("jwt,", "b,")}`;
    const of = (more: Partial<Ticket>): Translation => translate(ticket(yaml, more));
    const served = ({ differences }: Translation): unknown[] =>
      differences.flatMap((one) => (one.kind === "keys" ? [[one.iss, one.served]] : [])).sort();
    assert.deepEqual(served(of({ jwks: "empty" })), [
      ["https://b.example", "empty"],
      ["https://idp.example", "empty"],
    ]);
    const wrong = of({ jwksOf: { "https://b.example": "wrong" } });
    assert.deepEqual(served(wrong), [
      ["https://b.example", "wrong"],
      ["https://idp.example", "outside"],
    ]);
    assert.match([...wrong.files.values()].join("\n"), /jwksUri: \$\{jwksUri\.ticket-b-example-wrong@outside-http\}/);
    const rotated = of({ jwks: "rotated" });
    assert.match(rotated.files.get("issuers/ticket-idp-example-rotated.yaml") ?? "", /kid: key-1-rotated/);
  });

  describe("of a jwksUri whose name has no namespace", () => {
    const URI = { jwksUri: "http://keys/jwks" };
    const SERVICE = `---
apiVersion: v1
kind: Service
metadata: { name: keys, namespace: shop }
spec: { selector: { app: keys }, ports: [{ name: http, port: 80 }] }
`;
    const of = (yaml: string, more: Partial<Ticket> = {}): Translation =>
      translate(ticket(yaml, { tokens: [{ header: {}, claims: { iss: "https://idp.example", sub: "u" } }], ...more }));
    const served = ({ differences }: Translation): unknown[] =>
      differences.flatMap((one) => (one.kind === "keys" ? [one.served, one.decides] : []));

    it("are not found by istiod, which looks the name up in its own namespace", () => {
      const made = of(RULE(URI) + SERVICE);
      assert.deepEqual(served(made), ["no-host", "no"]);
      assert.match([...made.files.values()].join("\n"), /jwksUri: http:\/\/nginx-proxy\S*\/fault\/500\//);
      assert.deepEqual(served(of(RULE({ jwksUri: "http://localhost:8080/jwks" }))), ["no-host", "no"]);
    });

    it("are found in istiod's namespace, and with the namespace in the name", () => {
      assert.deepEqual(served(of(RULE(URI) + SERVICE.replace("namespace: shop", "namespace: istio-system"))), [
        { service: "istio-system/keys" },
        "no",
      ]);
      assert.deepEqual(served(of(RULE({ jwksUri: "http://keys.shop/jwks" }) + SERVICE)), [
        { service: "shop/keys" },
        "no",
      ]);
    });

    it("may be anywhere if the ticket has no such Service, unless the user says what istiod gets", () => {
      assert.deepEqual(served(of(RULE(URI))), ["no-host", "unknown"]);
      assert.deepEqual(served(of(RULE(URI), { tokens: [] })), ["no-host", "no"]);
      assert.deepEqual(served(of(RULE(URI), { jwks: "reachable" })), ["outside", "no"]);
      assert.deepEqual(served(of(RULE(URI), { jwksOf: { "https://idp.example": "unreachable" } })), [
        "unreachable",
        "no",
      ]);
    });
  });

  it("does not believe that a URL publishes symmetric keys", () => {
    assert.deepEqual(deciding(made({ jwksUri: "https://idp.example/keys" }, { alg: "HS256" })), ["keys unknown"]);
  });
});
