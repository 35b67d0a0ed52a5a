import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine, readRequest } from "./curl-line.ts";

describe("readCurlLine", () => {
  it("reads method, host, path, headers and token from a pasted line", () => {
    const line = `$ curl -sS -XPOST -H 'Authorization: Bearer eyJh.eyJi.c2ln' \\
      --header "X-Tenant: a b" -d '{"a":1}' 'https://shop.example:8443/orders?x=1&y=2#part' | jq .`;
    assert.deepEqual(readCurlLine(line), {
      method: "POST",
      scheme: "https",
      path: "/orders?x=1&y=2",
      authority: "shop.example:8443",
      headers: [
        ["X-Tenant", "a b"],
        ["Content-Type", "application/x-www-form-urlencoded"],
      ],
      tokens: [
        {
          place: { header: "Authorization", prefix: "Bearer " },
          part: "header Authorization",
          value: { kind: "jwt", compact: "eyJh.eyJi.c2ln" },
        },
      ],
      differences: [{ kind: "part-left-out", part: "the body", decides: "no" }],
    });
  });

  it("finds curl behind kubectl exec, and a Host header", () => {
    const request = readCurlLine(
      `kubectl exec deploy/sleep -c sleep -- curl -s -o /dev/null -H Host:shop.example 10.0.0.1/a`,
    );
    assert.deepEqual([request.authority, request.host], ["10.0.0.1", "shop.example"]);
    assert.deepEqual(request.sender, { container: "sleep", workload: "sleep" });
    assert.equal(request.path, "/a");
    assert.equal(request.method, "GET");
  });

  it("reads the client from the words before curl", () => {
    const sender = (line: string) => readCurlLine(`${line} -- curl http://shop/`).sender;
    assert.deepEqual(sender("kubectl exec deploy/curl -c curl -n foo"), {
      ...{ namespace: "foo", workload: "curl", container: "curl" },
    });
    const documented = sender(
      'kubectl exec "$(kubectl get pod -l app=curl -n foo -o jsonpath={.items..metadata.name})" -c curl -n foo',
    );
    assert.equal(documented?.namespace, "foo");
    assert.deepEqual(sender("kubectl exec -it deploy/sleep -n sleep"), { namespace: "sleep", workload: "sleep" });
    assert.deepEqual(sender("$ kubectl --context c -n a exec web-0 -c istio-proxy"), {
      namespace: "a",
      workload: "web-0",
      container: "istio-proxy",
    });
    assert.equal(readCurlLine("curl http://shop/").sender, undefined);
  });

  it("sends dot segments as curl does", () => {
    assert.equal(readCurlLine("curl http://shop/a/../b/./c").path, "/b/c");
    assert.equal(readCurlLine("curl --path-as-is http://shop/a/../b").path, "/a/../b");
  });

  it("reports everything that it leaves out", () => {
    const { differences } = readCurlLine("curl --cert c.pem --interface eth0 --odd-option http://shop/");
    assert.deepEqual(differences.map((one) => ("part" in one ? `${one.part} ${one.decides}` : one.kind)).sort(), [
      "curl --cert unknown",
      "curl --interface unknown",
      "curl --odd-option unknown",
    ]);
  });

  it("keeps a path as it is written", () => {
    assert.equal(readCurlLine("curl --path-as-is http://shop//a/../b%2Fc").path, "//a/../b%2Fc");
  });

  it("knows HEAD, POST for a body, and a URL without a path", () => {
    assert.equal(readCurlLine("curl -I http://shop").method, "HEAD");
    assert.equal(readCurlLine("curl --json '{}' http://shop").method, "POST");
    assert.equal(readCurlLine("curl http://shop?a=b").path, "/?a=b");
  });

  it("has the place of each token and of each secret, but no secret", () => {
    const request = readCurlLine(
      `curl -u me:pass -b session=k1 -H 'Cookie: a=b; t=eyJh.eyJi.c2ln' -H 'Proxy-Authorization: bearer opaque' -H 'X-Jwt: v1 eyJh.eyJi.c2ln' 'http://shop/a?access_token=eyJh.eyJi.c2ln&b=1'`,
    );
    assert.equal(request.path, "/a?b=1");
    assert.deepEqual(
      request.tokens.map(({ place, value }) => [place, value.kind]),
      [
        [{ cookie: "a" }, "opaque"],
        [{ cookie: "t" }, "jwt"],
        [{ header: "Proxy-Authorization", prefix: "bearer " }, "opaque"],
        [{ header: "X-Jwt", prefix: "v1 " }, "jwt"],
        [{ header: "Authorization", prefix: "Basic " }, "opaque"],
        [{ cookie: "session" }, "opaque"],
        [{ query: "access_token" }, "jwt"],
      ],
    );
    assert.doesNotMatch(JSON.stringify(request), /pass"|k1|"opaque [a-z]/);
  });

  it("does not take a variable for a token", () => {
    const request = readCurlLine(`curl -H "Authorization: Bearer $TOKEN" http://shop/a`);
    assert.deepEqual(request.tokens, [
      {
        place: { header: "Authorization", prefix: "Bearer " },
        part: "header Authorization",
        value: { kind: "variable" },
      },
    ]);
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
  it("accepts a path or a URL", () => {
    assert.deepEqual(readRequest("GET /a", ["X-A: b"]), {
      method: "GET",
      scheme: "http",
      path: "/a",
      headers: [["X-A", "b"]],
      tokens: [],
      differences: [],
    });
    assert.equal(readRequest("DELETE http://shop.ns/a", []).authority, "shop.ns");
  });
  it("leaves out the usual port of a scheme, as clients do in the header Host", () => {
    const authority = (url: string): string | undefined => readRequest(`GET ${url}`, []).authority;
    assert.equal(authority("http://shop.example:80/"), "shop.example");
    assert.equal(authority("https://shop.example:443/"), "shop.example");
    assert.equal(authority("http://shop.example:443/"), "shop.example:443");
  });
  it("takes no variable for a host", () => {
    const { authority, variable } = readRequest("GET http://$INGRESS_HOST:$INGRESS_PORT/a", []);
    assert.deepEqual([authority, variable], [undefined, "$INGRESS_HOST:$INGRESS_PORT"]);
    assert.equal(readRequest("GET http://user:$PASSWORD@shop.ns/a", []).authority, "shop.ns");
  });
  it("refuses other text", () => {
    assert.throws(() => readRequest("/a", []), /METHOD \/path/);
    assert.throws(() => readRequest("GET /a", ["nonsense"]), /name: value/);
  });
});
