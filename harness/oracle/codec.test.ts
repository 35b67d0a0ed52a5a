import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Decision } from "../model/explanation.ts";
import { explainRequest, type OracleRequest } from "./index.ts";

const FILTERS = "type.googleapis.com/envoy.extensions.filters";
const denyAll = {
  rules: { action: "DENY", policies: { p: { permissions: [{ any: true }], principals: [{ any: true }] } } },
};
const from = (prefix: string): object => ({
  rules: {
    policies: {
      p: { permissions: [{ destination_port: 9000 }], principals: [{ authenticated: { principal_name: { prefix } } }] },
    },
  },
});
const http = (config: object): object => ({
  typed_config: {
    "@type": `${FILTERS}.network.http_connection_manager.v3.HttpConnectionManager`,
    normalize_path: true,
    http_filters: [{ typed_config: { "@type": `${FILTERS}.http.rbac.v3.RBAC`, ...config } }],
  },
});
const rbac = (config: object): object => ({ typed_config: { "@type": `${FILTERS}.network.rbac.v3.RBAC`, ...config } });
const tcp = { typed_config: { "@type": `${FILTERS}.network.tcp_proxy.v3.TcpProxy` } };

function ask(filters: readonly object[], more: Partial<OracleRequest> = {}, port = 8080): Decision & { tcp?: boolean } {
  const listener = {
    name: "virtualInbound",
    filter_chains: [{ filter_chain_match: { destination_port: port }, filters }],
  };
  const dump = { configs: [{ active_state: { listener } }] };
  const request = { method: "GET", path: "/", authority: "a", headers: [], port, ...more };
  const { decision, listener: at } = explainRequest(dump, request, 0);
  return { ...decision, ...(at?.tcp && { tcp: true }) };
}

describe("what the codec refuses", () => {
  const deny = [http(denyAll)];
  it("a method that HTTP/1 does not have, and bytes of a path", () => {
    for (const odd of [{ method: "FOO" }, { method: "get" }, { path: "/ä" }]) {
      const { verdict, status } = ask(deny, { ...odd, protocol: "http/1.1" });
      assert.deepEqual([verdict, status], ["refused", 400]);
      const { reason } = ask(deny, odd);
      assert.deepEqual(reason, { kind: "undecided", missing: { kind: "protocol" } });
    }
    assert.equal(ask(deny, { method: "FOO", protocol: "h2c" }).verdict, "denied");
    assert.equal(ask(deny, { method: "MSEARCH" }).verdict, "denied");
    assert.equal(ask(deny, { method: "CONNECT" }).verdict, "undecided");
  });
  it("control characters in a header, and bytes of a host", () => {
    for (const odd of [
      { headers: [["x-a", "a\u0001"]] },
      { headers: [["x-a", "\u007f"]] },
      { authority: "a\udcff" },
      { authority: "ä" },
    ] as Partial<OracleRequest>[]) {
      assert.equal(ask(deny, { ...odd, protocol: "http/1.1" }).status, 400);
      assert.equal(ask(deny, odd).verdict, "undecided");
      assert.equal(ask(deny, { ...odd, protocol: "h2c" }).verdict, "undecided");
    }
    assert.equal(ask(deny, { headers: [["x-a", "a\tb \udcff ä"]], protocol: "http/1.1" }).verdict, "denied");
  });
  it("HTTP/1.0", () => {
    assert.equal(ask(deny, { protocol: "http/1.0" }).status, 426);
  });
});

describe("an answer to a gRPC request", () => {
  const grpc = (type: string, more: Partial<OracleRequest> = {}) => {
    const { status, grpcStatus } = ask([http(denyAll)], { headers: [["Content-Type", type]], ...more });
    return [status, grpcStatus];
  };
  it("is HTTP 200 with a grpc-status", () => {
    assert.deepEqual(grpc("application/grpc"), [200, 7]);
    assert.deepEqual(grpc("application/grpc+proto"), [200, 7]);
    assert.deepEqual(grpc("application/grpc", { path: "/%00" }), [200, 13]);
  });
  it("has no grpc-status for gRPC-Web or JSON", () => {
    assert.deepEqual(grpc("application/grpc-web"), [403, undefined]);
    assert.deepEqual(grpc("application/json"), [403, undefined]);
  });
});

describe("a rule about the header host", () => {
  it("compares the authority", () => {
    const header = { name: "host", string_match: { exact: "b" } };
    const deny = { action: "DENY", policies: { p: { permissions: [{ header }], principals: [{ any: true }] } } };
    assert.equal(ask([http({ rules: deny })], { authority: "b" }).verdict, "denied");
    assert.notEqual(ask([http({ rules: deny })], { authority: "a", headers: [["Host", "b"]] }).verdict, "denied");
  });
});

describe("a DENY rule behind one that is undecided", () => {
  it("denies, and which of them Envoy names is not known", () => {
    const any = [{ any: true }];
    const policies = {
      a: { permissions: [{ martian: {} }], principals: any },
      b: { permissions: any, principals: any },
    };
    const { verdict, status, details } = ask([http({ rules: { action: "DENY", policies } })]);
    assert.deepEqual([verdict, status, details], ["denied", 403, undefined]);
  });
});

describe("an address range", () => {
  const range = (address_prefix: string, prefix_len: number): object => ({
    rules: {
      action: "DENY",
      policies: {
        p: { permissions: [{ any: true }], principals: [{ direct_remote_ip: { address_prefix, prefix_len } }] },
      },
    },
  });
  it("of IPv6 has no address of IPv4, however wide it is", () => {
    const asked = (config: object, sourceIp: string) => ask([rbac(config), tcp], { sourceIp }, 9000).verdict;
    assert.equal(asked(range("::", 0), "10.1.1.1"), "admitted");
    assert.equal(asked(range("::", 0), "2001:db8::1"), "denied");
    assert.equal(asked(range("0.0.0.0", 0), "10.1.1.1"), "denied");
    assert.equal(asked(range("0.0.0.0", 0), "::1"), "admitted");
  });
});

describe("a connection to a TCP port", () => {
  const peer = "cluster.local/ns/foo/sa/sleep";
  it("is closed by a DENY rule", () => {
    const { verdict, status, by, tcp: is } = ask([rbac(denyAll), tcp], {}, 9000);
    assert.deepEqual([verdict, status, by, is], ["denied", 0, "authorization", true]);
  });
  it("needs a rule that allows it", () => {
    const allow = [rbac(from("spiffe://cluster.local/ns/foo/")), tcp];
    assert.equal(ask(allow, { peer }, 9000).verdict, "admitted");
    assert.equal(ask(allow, { peer: "cluster.local/ns/bar/sa/x" }, 9000).verdict, "denied");
    assert.equal(ask(allow, {}, 9000).verdict, "denied");
  });
  it("is undecided behind a filter that meshproof does not read, for HTTP too", () => {
    const strange = { name: "strange", typed_config: { "@type": "type.googleapis.com/x.Strange" } };
    for (const last of [tcp, http({})])
      assert.deepEqual(ask([strange, last], {}, 9000).reason, {
        kind: "undecided",
        missing: { kind: "unsupported", what: "filter", name: "strange" },
      });
  });
});
