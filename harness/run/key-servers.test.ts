import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AskedSpec } from "../model/scenario.ts";
import { judgeAsked, markServers, type KeyServerMesh } from "./key-servers.ts";
import { checkOf, fakeCurl, position, SLEEP } from "./session.fixture.ts";

/** A JWKS server whose log has what was asked of it, marks included. */
function serverOf(between: readonly string[]): { readonly mesh: KeyServerMesh; ask(): void } {
  const log: { uri: string; user_agent: string }[] = [{ uri: "/jwks/old", user_agent: "Go-http-client/1.1" }];
  const { curl } = fakeCurl(({ url, userAgent }) => {
    log.push({ uri: url.replace(/^http:\/\/[^/]*/, ""), user_agent: userAgent });
    return 404;
  });
  return {
    ask: () => log.push(...between.map((agent) => ({ uri: "/jwks/new", user_agent: agent }))),
    mesh: {
      ...{ curl, handle: { namespace: "foo" }, place: () => Promise.resolve(SLEEP) },
      server: () => Promise.resolve({ namespace: "foo", pod: "nginx-1", container: "nginx", ip: "10.0.0.2" }),
      log: () => Promise.resolve(["not JSON", ...log.map((line) => JSON.stringify(line))].join("\n")),
    },
  };
}

/** @param named the jwksUris that the step applied; by default it applied nothing */
async function judge(by: AskedSpec["by"], askers: readonly string[], named?: readonly string[]) {
  const { mesh, ask } = serverOf(askers);
  const step = { asked: [{ position, server: "nginx-proxy", by }], checks: [checkOf("/")] };
  const marks = await markServers(mesh, step);
  ask();
  const rules = named?.map((jwksUri) => ({ issuer: "a", jwksUri }));
  const manifest = {
    apiVersion: "v1",
    kind: "RequestAuthentication",
    metadata: { name: "a" },
    spec: { jwtRules: rules },
  };
  const changes = named === undefined ? [] : [{ verb: "apply" as const, manifest }];
  const [found] = await judgeAsked(mesh, step, marks, changes);
  return [found?.status, found?.got, found?.reason];
}

describe("who asked for keys", () => {
  it("is read between two marks: lines before them belong to an earlier step", async () => {
    assert.deepEqual(await judge("nobody", []), ["passed", [], undefined]);
    assert.deepEqual(await judge("istiod", ["Go-http-client/1.1", "Go-http-client/2.0"]), [
      "passed",
      ["istiod"],
      undefined,
    ]);
    assert.deepEqual(await judge("proxy", [""]), ["passed", ["proxy"], undefined]);
  });

  it("must be only the expected one", async () => {
    const [status, got, reason] = await judge("istiod", ["Go-http-client/1.1", ""]);
    assert.deepEqual([status, got], ["failed", ["istiod", "proxy"]]);
    assert.equal(reason, "expected istiod to ask nginx-proxy for keys, its log shows istiod and proxy");
    assert.match(String((await judge("proxy", []))[2]), /its log shows nobody$/);
  });

  it("counts only for a URI that the step named, if the step applied anything", async () => {
    assert.equal((await judge("proxy", [""], ["http://nginx-proxy.foo/jwks/new"]))[0], "passed");
    assert.equal((await judge("proxy", [""], ["http://nginx-proxy.foo/jwks/new?a"]))[0], "failed");
    assert.match(String((await judge("proxy", [""], []))[2]), /its log shows nobody$/);
    assert.equal((await judge("nobody", [""], ["http://nginx-proxy.foo/jwks/other"]))[0], "failed");
  });

  it("is not known to a step without a check", async () => {
    const step = { asked: [{ position, server: "nginx-proxy", by: "istiod" as const }], checks: [] };
    await assert.rejects(markServers(serverOf([]).mesh, step), /needs a check/);
  });
});
