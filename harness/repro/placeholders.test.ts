import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine, readRequest } from "./curl-line.ts";
import { rewriteRules } from "./issuers.ts";
import { withPlaceholders } from "./placeholders.ts";
import { readObjects, stringifyObjects } from "./stand-in.ts";
import { translate } from "./translate.ts";

const HIDDEN = ["hunter2", "s3cr3t", "c0de", "xsession", "apikey", "amz", "me:pw"];
const policy = (conditions: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: shop }
spec: { rules: [{ when: [${conditions}] }] }
`;

describe("a ticket's request, as it is written", () => {
  it("has no value of a header or of a parameter that no policy looks at, and says so", () => {
    const request = readCurlLine(
      `curl -H 'X-Auth: hunter2' -H 'X-Session-Id: xsession' -H 'X-Passwd: s3cr3t' -H 'X-Auth-Key: apikey' -H 'X-Amz-Credential: amz/20261128' -H 'Accept: text/html' 'https://me:pw@shop.example/orders?password=hunter2&api_key=apikey&code=c0de&page=2&flag'`,
    );
    const safe = withPlaceholders(request, []);
    const text = JSON.stringify(safe);
    for (const value of HIDDEN) assert.ok(!text.includes(value), `${value} in ${text}`);
    assert.equal(safe.path, "/orders?password=placeholder&api_key=placeholder&code=placeholder&page=placeholder&flag");
    assert.deepEqual(safe.headers.at(-1), ["Accept", "text/html"]);
    assert.equal(safe.changed?.length, 6);
    assert.match(safe.changed[5] ?? "", /query parameters password, api_key, code, page became placeholders/);
    assert.deepEqual(safe.left, ["the user info of the URL was left out"]);
  });

  it("keeps what a policy or a route compares with something, and says what looks at it", () => {
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
      ["blue", "placeholder", "opaque", "red"],
    );
    assert.equal(safe.path, "/a?t=odd&v=2&code=placeholder");
    assert.match(
      safe.changed?.join("\n") ?? "",
      /header x-tenant keeps its value, which AuthorizationPolicy a looks at/,
    );
  });

  it("keeps the query where a policy looks at the path as it is sent", () => {
    const objects = readObjects(policy(`{ key: "request.headers[:path]", values: ["/a?b=1"] }`), "t.yaml");
    const safe = withPlaceholders(readRequest("GET /a?b=1", []), objects);
    assert.equal(safe.path, "/a?b=1");
    assert.match(safe.changed?.[0] ?? "", /AuthorizationPolicy a looks at the path/);
  });

  it("has no token whose dots are encoded, and no half of an opaque one", () => {
    assert.equal(readRequest("GET /a?x=eyJhbGciOiJI%2EeyJpc3MiOiJq%2Ec2lnbmF0", []).path, "/a?x=TOKEN");
    assert.deepEqual(readRequest("GET /", ["x-a: eyJhbGciOiJI%2EeyJpc3MiOiJq%2Ec2lnbmF0"]).headers, []);
    const opaque = readRequest("GET /", ["Authorization: Bearer hunter2-and-more"]);
    assert.doesNotMatch(JSON.stringify(opaque), /hunter2/);
  });

  it("has no credential that a route sets", () => {
    const route =
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: v }\nspec: { hosts: ['*'], http: [{ headers: { request: { set: { Authorization: Basic bWU6aHVudGVyMg== } } }, route: [] }] }";
    const { files, changes } = translate({
      ...{ name: "t", objects: readObjects(route, "t.yaml"), request: readRequest("GET /", []), jwks: "reachable" },
      image: "  image: nginx:1",
    });
    assert.ok(![...files.values()].join("\n").includes("bWU6aHVudGVyMg"));
    assert.match(changes.join("\n"), /VirtualService v: what may be a credential was taken out/);
  });

  it("says where keys were, without user info and query", () => {
    const rule = { issuer: "x", jwksUri: "https://svc:hunter2@idp.example/keys?client_secret=s3cr3t#a" };
    const { changes } = rewriteRules(
      "RequestAuthentication r",
      { jwtRules: [rule] },
      [{ name: "ticket-x", iss: "x", keys: [], fromJwks: false }],
      "reachable",
    );
    const yaml = stringifyObjects([
      { apiVersion: "v1", kind: "RequestAuthentication", metadata: { name: "r" }, spec: { jwtRules: [rule] } },
    ]);
    for (const value of HIDDEN) assert.ok(!`${changes.join()}${yaml}`.includes(value), value);
    assert.match(changes.join(), /at https:\/\/idp\.example\/keys, its user info and query left out/);
  });
});
