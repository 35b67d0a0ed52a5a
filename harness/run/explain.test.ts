import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it, test } from "node:test";
import { byHbone, explain, toOracleRequest, withoutTokens, type Explainable } from "./explain.ts";
import type { Explanation } from "../model/explanation.ts";
import type { Place, PodsOfHosts, Proxy } from "./places.ts";
import { HTTPBIN, SLEEP } from "./session.fixture.ts";

const sidecar = (name: string, serviceAccount: string): Proxy => ({
  namespace: "foo",
  pod: `${name}-1`,
  ip: "10.0.0.1",
  labels: { app: name },
  serviceAccount,
  kind: "sidecar",
});

test("the sender is its service account, not its label app", () => {
  const place: Place = {
    container: { namespace: "foo", pod: "sleep-1", container: "sleep" },
    workload: "deploy/sleep",
    proxy: sidecar("sleep", "batch"),
  };
  const wire = { method: "GET", url: "http://httpbin.foo:8000/headers", headers: [] };
  assert.equal(
    toOracleRequest(wire, place, sidecar("httpbin", "httpbin"), "httpbin", "corp.example").peer,
    "corp.example/ns/foo/sa/batch",
  );
});

test("what a client sends to a waypoint by HBONE has its identity, and no other proxy has read it", () => {
  const wire = { method: "GET", url: "http://orders.shop:8080/a%2fb", headers: [["Host", "other.example"] as const] };
  assert.deepEqual(byHbone(wire, sidecar("sleep", "batch"), "corp.example"), {
    ...{ method: "GET", path: "/a%2fb", authority: "other.example", protocol: "http/1.1", headers: wire.headers },
    ...{ sourceIp: "10.0.0.1", peer: "corp.example/ns/foo/sa/batch" },
  });
});

test("a gateway removes a token that it accepted, unless it forwards it", () => {
  const provider = {
    ...({ name: "p", audiences: [], keys: "inline", keyList: [] } as const),
    places: [
      { kind: "header", name: "Authorization", prefix: "Bearer " },
      { kind: "parameter", name: "access_token" },
    ],
  } as const;
  const asked = {
    ...{ method: "GET", path: "/a?access_token=x&b=1", authority: "shop.example" },
    headers: [["authorization", "Bearer x"] as const, ["accept", "*/*"] as const],
  };
  const left = withoutTokens(asked, [{ ...provider, forward: false, found: { kind: "accepted" } }]);
  assert.deepEqual([left.path, left.headers], ["/a?b=1", [["accept", "*/*"]]]);
  const rewritten = withoutTokens({ ...asked, path: "/a?x=%26y%3D1&access_token=x&ACCESS_TOKEN=z" }, [
    { ...provider, forward: false, found: { kind: "accepted" } },
  ]);
  assert.equal(rewritten.path, "/a?ACCESS_TOKEN=z&x=&y=1");
  for (const [forward, found] of [
    [true, "accepted"],
    [false, "no-token"],
  ] as const)
    assert.deepEqual(withoutTokens(asked, [{ ...provider, forward, found: { kind: found } }]), asked);
});

/** A gateway without policies, with one route. */
function gatewayDump(action: object): unknown {
  const manager = {
    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    rds: { route_config_name: "http.80" },
  };
  const listener = {
    ...{ name: "0.0.0.0_80", address: { socket_address: { port_value: 80 } } },
    filter_chains: [{ filters: [{ typed_config: manager }] }],
  };
  const routes = [{ match: { prefix: "/" }, route: action }];
  const config = { name: "http.80", virtual_hosts: [{ domains: ["*"], routes }] };
  return { configs: [{ active_state: { listener } }, { route_config: config }] };
}

describe("an answer is explained", () => {
  /** Cut from the config dump of a sidecar with some policies. */
  const dump = JSON.parse(
    readFileSync(path.join(import.meta.dirname, "../oracle/fixtures/sidecar.json"), "utf8"),
  ) as unknown;
  const answered = (to: string, parts: Partial<Explainable> = {}): Explainable => ({
    request: { method: "GET", url: `http://httpbin.foo:8000${to}`, headers: [] },
    ...{ place: SLEEP, target: HTTPBIN, to: "httpbin", got: { status: 403, by: "authorization" } },
    ...parts,
  });
  const POST = { method: "POST", url: "http://httpbin.foo:8000/anything/x/%2e%2e/admin?q", headers: [] };
  const meshOf = (read: () => Promise<unknown>) => ({ dump: read, tokens: { redact: (text: string) => text } });

  it("by the judging proxy's own config, which is read once", async () => {
    let reads = 0;
    const mesh = meshOf(() => Promise.resolve((reads++, dump)));
    const [open, denied] = await explain(mesh, [answered("/headers"), answered("/x", { request: POST })]);
    assert.equal(reads, 1);
    assert.equal(open?.decision.verdict, "admitted");
    assert.match(denied?.decision.details ?? "", /explain-deny\]-rule\[0\]/);
  });

  it("with no secret in any of its texts", async () => {
    const redact = (text: string): string => text.replaceAll("explain-allow", "[hidden]");
    const [found] = await explain({ dump: () => Promise.resolve(dump), tokens: { redact } }, [answered("/headers")]);
    assert.doesNotMatch(JSON.stringify(found), /explain-allow/);
    assert.match(JSON.stringify(found), /\[hidden\]/);
  });

  it("by the workload's proxy behind a gateway, unless the gateway changes the request", async () => {
    const gateway = { ...sidecar("gateway", "gateway"), kind: "gateway" } as const;
    const target = { ...HTTPBIN, url: "http://ingress", proxies: [gateway], behind: [sidecar("httpbin", "httpbin")] };
    const verdict = async (action: object): Promise<unknown> => {
      const read = (proxy: Proxy): Promise<unknown> =>
        Promise.resolve(proxy.kind === "gateway" ? gatewayDump(action) : dump);
      const [found] = await explain({ dump: read, tokens: { redact: (text) => text } }, [
        answered("/x", { request: POST, target, to: "ingress" }),
      ]);
      return found?.decision.reason.kind === "undecided" ? found.decision.reason.missing : found?.decision.details;
    };
    assert.match(String(await verdict({ cluster: "a" })), /explain-deny\]-rule\[0\]/);
    const missing = { kind: "changed-by-gateway", changes: ["prefix_rewrite"] };
    assert.deepEqual(await verdict({ cluster: "a", prefix_rewrite: "/new" }), missing);
  });

  it("by each proxy on its way, where all of them let it through", async () => {
    const at = (kind: "gateway" | "sidecar", name: string): object => ({ kind, namespace: "foo", name });
    const gateway = { ...sidecar("gateway", "gateway"), kind: "gateway" } as const;
    const httpbin = sidecar("httpbin", "httpbin");
    const host = "httpbin.foo.svc.cluster.local";
    const behind = [sidecar("sleep", "sleep"), httpbin];
    const target = { ...HTTPBIN, url: "http://ingress", proxies: [gateway], behind };
    const found = async (pods: PodsOfHosts, change: object = {}): Promise<Explanation | undefined> => {
      const read = (proxy: Proxy): Promise<unknown> =>
        Promise.resolve(
          proxy.kind === "gateway" ? gatewayDump({ cluster: `outbound|8000||${host}`, ...change }) : dump,
        );
      const answer = {
        target: { ...target, pods: () => Promise.resolve(pods) },
        to: "ingress",
        got: { status: 200, by: "workload" },
      } as const;
      const [one] = await explain({ dump: read, tokens: { redact: (text) => text } }, [answered("/headers", answer)]);
      return one;
    };
    const told = await found(new Map([[host, { count: 1, proxies: [httpbin] }]]));
    assert.deepEqual([told?.at, told?.decision.verdict], [at("sidecar", "httpbin"), "admitted"]);
    assert.deepEqual(
      told?.before?.map((one) => [one.at, one.decision.reason.kind]),
      [[at("gateway", "gateway"), "no-policy"]],
    );
    assert.notEqual(told.decision.reason.kind, "no-policy");
    // Nothing is claimed of proxies that are not there, or are not known.
    const bare = await found(new Map([[host, { count: 1, proxies: [] }]]));
    assert.deepEqual([bare?.at, bare?.beyond, bare?.before], [at("gateway", "gateway"), "nothing", undefined]);
    const unknown = await found(new Map());
    assert.deepEqual([unknown?.at, unknown?.beyond], [at("gateway", "gateway"), "not-known"]);
    const rewritten = await found(new Map([[host, { count: 1, proxies: [httpbin] }]]), { prefix_rewrite: "/x" });
    assert.equal(rewritten?.decision.verdict, "undecided");
  });

  it("not at all where no proxy judges it, or the proxy cannot be asked", async () => {
    const gone = meshOf(() => Promise.reject(new Error("the pod is gone")));
    const bare = answered("/headers", { target: { ...HTTPBIN, proxies: [] } });
    assert.deepEqual(await explain(gone, [answered("/headers"), bare]), [undefined, undefined]);
  });
});
