import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine, readRequest, type TicketRequest } from "./curl-line.ts";
import { rewriteRules } from "./issuers.ts";
import { withPlaceholders } from "./placeholders.ts";
import { readObjects, stringifyObjects } from "./read-objects.ts";
import { translate } from "./translate.ts";

const HIDDEN = ["hunter2", "s3cr3t", "c0de", "xsession", "apikey", "amz", "me:pw"];
const partsOf = ({ differences }: TicketRequest): string[] =>
  differences.flatMap((one) => (one.kind === "placeholder" ? [one.part] : []));
const policy = (conditions: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec: { rules: [{ when: [${conditions}] }] }
`;

describe("a ticket's request in the report", () => {
  it("has a placeholder for each header and parameter that no policy compares, and reports it", () => {
    const request = readCurlLine(
      `curl -H 'X-Auth: hunter2' -H 'X-Session-Id: xsession' -H 'X-Passwd: s3cr3t' -H 'X-Auth-Key: apikey' -H 'X-Amz-Credential: amz/20261128' -H 'Accept: text/html' 'https://me:pw@shop.example/orders?password=hunter2&api_key=apikey&code=c0de&page=2&flag'`,
    );
    const safe = withPlaceholders(request, []);
    const text = JSON.stringify(safe);
    for (const value of HIDDEN) assert.ok(!text.includes(value), `${value} in ${text}`);
    assert.equal(safe.path, "/orders?password=placeholder&api_key=placeholder&code=placeholder&page=placeholder&flag");
    assert.deepEqual(safe.headers.at(-1), ["Accept", "text/html"]);
    const hidden = ["X-Auth", "X-Session-Id", "X-Passwd", "X-Auth-Key", "X-Amz-Credential"].map(
      (name) => `header ${name}`,
    );
    const parameters = ["password", "api_key", "code", "page"].map((name) => `query parameter ${name}`);
    assert.deepEqual(partsOf(safe), [...hidden, ...parameters]);
    assert.deepEqual(
      safe.tokens.map(({ part, value }) => [part, value]),
      [["the user info of the URL", { kind: "opaque" }]],
    );
  });

  it("keeps values that a policy or a route compares, and reports which object compares them", () => {
    const objects = readObjects(
      [
        policy(
          `{ key: "request.headers[X-Tenant]", values: [blue] }, { key: "request.headers[x-api-key]", values: ["*"] }`,
        ),
        "apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: { name: r }\nspec: { jwtRules: [{ issuer: x, fromParams: [t], fromHeaders: [{ name: X-Jwt }] }] }",
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v }\nspec: { http: [{ match: [{ headers: { x-color: { exact: red } }, queryParams: { v: { exact: '2' } } }] }] }",
      ].join("\n---\n"),
      "t.yaml",
    );
    const headers = ["x-tenant: blue", "X-Api-Key: apikey", "x-jwt: opaque", "X-Color: red"];
    const safe = withPlaceholders(readRequest("GET /a?t=odd&v=2&code=c0de", headers), objects);
    assert.deepEqual(
      safe.headers.map(([, value]) => value),
      ["blue", "placeholder", "red"],
    );
    assert.equal(safe.path, "/a?v=2&code=placeholder");
    const kept = safe.differences.filter(({ kind }) => kind === "value-kept");
    assert.deepEqual(kept[0], {
      ...{ kind: "value-kept", part: "header x-tenant", decides: "no" },
      by: { kind: "AuthorizationPolicy", namespace: "shop", name: "a" },
    });
    // A value that is not a JWT in the place of a token is opaque, and another one replaces it.
    assert.deepEqual(
      safe.tokens.map(({ place, value }) => [place, value.kind]),
      [
        [{ header: "x-jwt" }, "opaque"],
        [{ query: "t" }, "opaque"],
      ],
    );
    assert.doesNotMatch(JSON.stringify(safe), /odd|apikey/);
  });

  it("does not keep a secret that a rule compares", () => {
    const objects = readObjects(
      policy(
        `{ key: "request.headers[authorization]", values: ["Basic *"] }, { key: "request.headers[x-secret]", values: ["a*"] }`,
      ),
      "t.yaml",
    );
    const safe = withPlaceholders(readRequest("GET /", ["Authorization: Basic bWU6cHc=", "X-Secret: abc"]), objects);
    assert.deepEqual(
      safe.differences.map(({ kind, decides }) => [kind, decides]),
      [
        ["placeholder", "unknown"],
        ["placeholder", "unknown"],
      ],
    );
    assert.doesNotMatch(JSON.stringify(safe), /bWU6|abc/);
  });

  it("keeps the query if a policy compares the raw path", () => {
    const objects = readObjects(policy(`{ key: "request.headers[:path]", values: ["/a?b=1"] }`), "t.yaml");
    const safe = withPlaceholders(readRequest("GET /a?b=1", []), objects);
    assert.equal(safe.path, "/a?b=1");
    assert.deepEqual(
      safe.differences.map(({ kind }) => kind),
      ["value-kept"],
    );
  });

  it("has no token with encoded dots, and no part of an opaque one", () => {
    assert.equal(readRequest("GET /a?x=eyJhbGciOiJI%2EeyJpc3MiOiJq%2Ec2lnbmF0", []).path, "/a");
    assert.deepEqual(readRequest("GET /", ["x-a: eyJhbGciOiJI%2EeyJpc3MiOiJq%2Ec2lnbmF0"]).headers, []);
    const opaque = readRequest("GET /", ["Authorization: Bearer hunter2-and-more"]);
    assert.doesNotMatch(JSON.stringify(opaque), /hunter2/);
  });

  it("has no credential that a route sets", () => {
    const route =
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v }\nspec: { hosts: ['*'], http: [{ headers: { request: { set: { Authorization: Basic bWU6aHVudGVyMg== } } }, route: [] }] }";
    const { files, differences } = translate({
      ...{
        name: "t",
        objects: readObjects(route, "t.yaml"),
        request: readRequest("GET /", []),
        jwks: "reachable",
        now: 0,
      },
      ...{ image: "nginx:1", tokens: [] },
    });
    assert.ok(![...files.values()].join("\n").includes("bWU6aHVudGVyMg"));
    assert.ok(differences.some((one) => one.kind === "placeholder" && one.part === "VirtualService v"));
  });

  it("reports the URL of keys without user info and query", () => {
    const rule = { issuer: "x", jwksUri: "https://svc:hunter2@idp.example/keys?client_secret=s3cr3t#a" };
    const { differences } = rewriteRules(
      "RequestAuthentication r",
      { jwtRules: [rule] },
      [{ name: "ticket-x", iss: "x", keys: [], fromJwks: false }],
      () => "reachable",
      () => undefined,
      () => undefined,
    );
    const yaml = stringifyObjects([
      { apiVersion: "v1", kind: "RequestAuthentication", metadata: { name: "r" }, spec: { jwtRules: [rule] } },
    ]);
    for (const value of HIDDEN) assert.ok(!`${JSON.stringify(differences)}${yaml}`.includes(value), value);
    assert.match(JSON.stringify(differences), /"uri":"https:\/\/idp\.example\/keys"/);
  });
});
