import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Way } from "../model/target.ts";
import type { TokenPlace, TokenSpec } from "../model/token.ts";
import { fillExpectation, locate, named, prepare, reachedBy, type Minting, type Prepared } from "./prepare.ts";
import { checkOf, HTTPBIN, SLEEP } from "./session.fixture.ts";

const minted: [TokenSpec, string | undefined][] = [];
const minting: Minting = {
  tokens: {
    mint: (spec, variant) => {
      minted.push([spec, variant]);
      return Promise.resolve({ compact: `${spec.issuer}.token.signature`, words: `iss ${spec.issuer}` });
    },
  },
};
const values = { ns: "foo", outsideIp: "10.0.0.9" };

async function requestWith(places: TokenPlace[] | undefined, path = "/x"): Promise<Prepared> {
  const located = [{ spec: checkOf(path, { token: "one" }), place: SLEEP, target: HTTPBIN }];
  const tokens = { one: { issuer: "corp", ...(places && { in: places }) } };
  const [prepared] = await prepare(minting, located, { tokens }, values);
  assert.ok(prepared);
  return prepared;
}

describe("an expectation", () => {
  it("may name the namespace of this run in headers of the reply", () => {
    const expect = { status: 401, by: "authentication" } as const;
    assert.deepEqual(
      fillExpectation({ ...expect, headers: { a: "x.${ns}:8000.${ns}", b: null, c: { matches: "${ns}" } } }, values),
      { ...expect, headers: { a: "x.foo:8000.foo", b: null, c: { matches: "${ns}" } } },
    );
    assert.equal(fillExpectation(expect, values), expect);
  });
});

describe("a target is reached", () => {
  const service = { url: "http://httpbin.foo:8000" };
  const gateway = { url: "https://shop.example", connectTo: "tls-istio.foo:443" };
  it("by its own name, or by another one", () => {
    assert.deepEqual(reachedBy(service, undefined, undefined), service);
    assert.deepEqual(reachedBy(gateway, undefined, undefined), gateway);
    assert.deepEqual(reachedBy(service, "httpbin", undefined), { url: "http://httpbin:8000" });
    assert.deepEqual(reachedBy({ url: "http://a.foo" }, "a", undefined), { url: "http://a:80" });
  });
  it("with TLS, and by the server name that the client sends", () => {
    assert.deepEqual(reachedBy(service, undefined, {}), { url: "https://httpbin.foo:8000" });
    const other = { url: "https://a.example:8000", connectTo: "httpbin.foo:8000" };
    assert.deepEqual(reachedBy(service, undefined, { serverName: "a.example" }), other);
    const staff = { url: "https://staff.example:443", connectTo: "tls-istio.foo:443" };
    assert.deepEqual(reachedBy(gateway, undefined, { serverName: "staff.example" }), staff);
  });
});

describe("a request is prepared", () => {
  it("with its token as a bearer, and a command that does not hold the token", async () => {
    const { request, tokens, curl } = await requestWith(undefined);
    assert.deepEqual(request.headers, [["Authorization", "Bearer corp.token.signature"]]);
    assert.equal(request.url, "http://httpbin.foo:8000/x");
    assert.deepEqual(tokens, [{ name: "one", words: "iss corp" }]);
    assert.match(curl, /^kubectl exec -n foo deploy\/sleep -c sleep -- curl .*"Authorization: Bearer \$TOKEN"/);
    assert.doesNotMatch(curl, /signature/);
  });

  it("with its token in the scenario's place, or in several places", async () => {
    const { request } = await requestWith([
      { header: "x-jwt", suffix: ";v1" },
      { query: "access" },
      { cookie: "session" },
    ]);
    assert.deepEqual(request.headers, [
      ["x-jwt", "corp.token.signature;v1"],
      ["Cookie", "session=corp.token.signature"],
    ]);
    assert.equal(request.url, "http://httpbin.foo:8000/x?access=corp.token.signature");
    const more = await requestWith([{ query: "t" }], "/x?a=1");
    assert.equal(more.request.url, "http://httpbin.foo:8000/x?a=1&t=corp.token.signature");
  });

  it("with several tokens, with the check's variant, and with what a token's header says of this run", async () => {
    minted.length = 0;
    const spec = checkOf("/", { token: "a+b", variant: "expired" });
    const tokens = { a: { issuer: "a", header: { jku: "http://${outside.ip}/${ns}" } }, b: { issuer: "b" } };
    const [prepared] = await prepare(minting, [{ spec, place: SLEEP, target: HTTPBIN }], { tokens }, values);
    assert.deepEqual(prepared?.tokens, [
      { name: "a", words: "iss a" },
      { name: "b", words: "iss b" },
    ]);
    assert.deepEqual(minted, [
      [{ issuer: "a", header: { jku: "http://10.0.0.9/foo" } }, "expired"],
      [{ issuer: "b" }, "expired"],
    ]);
  });

  it("without a token where the check has none, and bears a name of its own when it is sent", async () => {
    const [prepared] = await prepare(
      minting,
      [{ spec: checkOf("/"), place: SLEEP, target: HTTPBIN }],
      { tokens: {} },
      values,
    );
    assert.deepEqual(prepared?.tokens, []);
    assert.deepEqual(named(prepared.request, "meshproof/r").headers, [["User-Agent", "meshproof/r"]]);
  });
});

it("places and targets are looked up by name", async () => {
  const asked: string[] = [];
  const places = {
    place: (name: string) => (asked.push(name), Promise.resolve(SLEEP)),
    target: ({ to }: Way) => (asked.push(to), Promise.resolve(HTTPBIN)),
  };
  const [located] = await locate(places, [checkOf("/")]);
  assert.deepEqual([located?.place, located?.target, asked], [SLEEP, HTTPBIN, ["sleep", "httpbin"]]);
});
