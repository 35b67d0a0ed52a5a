import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine, readRequest } from "./curl-line.ts";

describe("readCurlLine", () => {
  it("takes method, host, path, headers and token of a pasted line", () => {
    const line = `$ curl -sS -XPOST -H 'Authorization: Bearer eyJh.eyJi.c2ln' \\
      --header "X-Tenant: a b" -d '{"a":1}' 'https://shop.example:8443/orders?x=1&y=2#part' | jq .`;
    assert.deepEqual(readCurlLine(line), {
      method: "POST",
      path: "/orders?x=1&y=2",
      host: "shop.example:8443",
      headers: [["X-Tenant", "a b"]],
      token: "eyJh.eyJi.c2ln",
      left: ["curl's --data was left out"],
    });
  });

  it("finds curl behind kubectl exec, and a Host header", () => {
    const request = readCurlLine(
      `kubectl exec deploy/sleep -c sleep -- curl -s -o /dev/null -H Host:shop.example 10.0.0.1/a`,
    );
    assert.equal(request.host, "shop.example");
    assert.equal(request.path, "/a");
    assert.equal(request.method, "GET");
  });

  it("keeps a path as it is written", () => {
    assert.equal(readCurlLine("curl --path-as-is http://shop//a/../b%2Fc").path, "//a/../b%2Fc");
  });

  it("knows HEAD, a body's POST, and no path", () => {
    assert.equal(readCurlLine("curl -I http://shop").method, "HEAD");
    assert.equal(readCurlLine("curl --json '{}' http://shop").method, "POST");
    assert.equal(readCurlLine("curl http://shop?a=b").path, "/?a=b");
  });

  it("leaves secrets out and says so", () => {
    const request = readCurlLine(
      `curl -u me:pass -b session=1 -H 'X-Api-Key: k1' -H 'Cookie: a=b' -H 'Authorization: Basic bWU=' -H 'X-Jwt: eyJh.eyJi.c2ln' 'http://shop/a?access_token=eyJh.eyJi.c2ln'`,
    );
    // Its value becomes a placeholder where no policy looks at it.
    assert.deepEqual(request.headers, [["X-Api-Key", "k1"]]);
    assert.equal(request.path, "/a?access_token=TOKEN");
    assert.equal(request.left.length, 6);
    assert.doesNotMatch(JSON.stringify(request), /pass|session=1|c2ln|bWU/);
  });

  it("does not take a variable for a token", () => {
    const request = readCurlLine(`curl -H "Authorization: Bearer $TOKEN" http://shop/a`);
    assert.equal(request.token, undefined);
    assert.match(request.left[0] ?? "", /\$TOKEN/);
  });

  for (const [line, complaint] of [
    ["wget http://shop/", /with curl in it/],
    ["curl -s", /0 URLs/],
    ["curl http://a/ http://b/", /2 URLs/],
    ["curl http://shop/a?b=1&c=2", /"&" outside of quotes/],
  ] as const)
    it(`refuses ${line}`, () => assert.throws(() => readCurlLine(line), complaint));
});

describe("readRequest", () => {
  it("takes a path or a URL", () => {
    assert.deepEqual(readRequest("GET /a", ["X-A: b"]), {
      method: "GET",
      path: "/a",
      headers: [["X-A", "b"]],
      left: [],
    });
    assert.equal(readRequest("DELETE http://shop.ns/a", []).host, "shop.ns");
  });
  it("refuses what is none", () => {
    assert.throws(() => readRequest("/a", []), /METHOD \/path/);
    assert.throws(() => readRequest("GET /a", ["nonsense"]), /name: value/);
  });
});
