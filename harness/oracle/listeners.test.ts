import assert from "node:assert/strict";
import { test } from "node:test";
import { explainRequest } from "./explain.ts";
import { findChain } from "./listeners.ts";

const HTTP = { typed_config: { "@type": "type.googleapis.com/x.HttpConnectionManager" } };
const TCP = { typed_config: { "@type": "type.googleapis.com/x.TcpProxy" } };

const chain = (server_names: readonly string[], filter: object): object => ({
  filter_chain_match: { server_names },
  filters: [filter],
});

const dump = {
  configs: [
    {
      active_state: {
        listener: {
          name: "0.0.0.0_8443",
          address: { socket_address: { port_value: 8443 } },
          filter_chains: [chain(["shop.example"], HTTP), chain(["keys.example", "*.raw.example"], TCP)],
        },
      },
    },
  ],
};

test("a gateway's chain is the one that names the request's SNI", () => {
  const found = (serverName: string) =>
    findChain(dump, { method: "GET", path: "/", authority: serverName, headers: [], port: 8443, serverName });
  const tcp = (serverName: string): unknown => {
    const chain = found(serverName);
    return "listener" in chain && chain.listener.tcp;
  };
  assert.equal(tcp("shop.example"), undefined);
  for (const raw of ["keys.example", "a.raw.example"]) assert.equal(tcp(raw), true, raw);
});

const asks = (chain: object): object => ({
  ...chain,
  transport_socket: { typed_config: { require_client_certificate: true } },
});

test("a client that speaks TLS is refused without the certificate that is asked for, and by a name that no listener has", () => {
  const gateway = structuredClone(dump);
  gateway.configs[0]!.active_state.listener.filter_chains.push(asks(chain(["partner.example"], HTTP)));
  const request = { method: "GET", path: "/", headers: [], port: 8443, tls: true };
  const decided = (serverName: string): unknown => {
    const found = findChain(gateway, { ...request, authority: serverName, serverName });
    return "decision" in found ? found.decision : "found";
  };
  const refused = (because: string): object => ({
    ...{ verdict: "refused", status: 0, by: "nobody" },
    reason: { kind: "tls-refused", because },
  });
  assert.equal(decided("shop.example"), "found");
  assert.deepEqual(decided("partner.example"), refused("client-certificate"));
  assert.deepEqual(decided("other.example"), refused("server-name"));
});

test("a sidecar refuses the TLS of a client only where each of its chains for it asks for a certificate", () => {
  const inbound = (chains: readonly object[]): object => ({
    configs: [{ active_state: { listener: { name: "virtualInbound", filter_chains: chains } } }],
  });
  const at8080 = (transport_protocol: string, application_protocols: readonly string[] = []): object => ({
    ...chain([], HTTP),
    filter_chain_match: { destination_port: 8080, transport_protocol, application_protocols },
  });
  const kindOf = (chains: readonly object[]): unknown => {
    const found = findChain(inbound(chains), { method: "GET", path: "/", headers: [], port: 8080, tls: true });
    return "decision" in found && found.decision.reason.kind;
  };
  assert.equal(kindOf([asks(at8080("tls"))]), "tls-refused");
  const permissive = [asks(at8080("tls", ["istio", "istio-http/1.1"])), at8080("raw_buffer")];
  assert.equal(kindOf(permissive), "undecided");
  assert.equal(kindOf([...permissive, at8080("tls")]), "undecided");
});

const rbac = (principal: object): object => ({
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
    rules: { action: "DENY", policies: { p: { permissions: [{ any: true }], principals: [principal] } } },
  },
});
const routes = {
  name: "r",
  virtual_hosts: [{ domains: ["*"], routes: [{ match: { prefix: "/" }, route: { cluster: "c" } }] }],
};
const vip = (name: string, principal: object): object => ({
  name,
  filters: [
    {
      typed_config: {
        ...HTTP.typed_config,
        "@type": "type.googleapis.com/envoy.HttpConnectionManager",
        route_config: routes,
        http_filters: [rbac(principal)],
      },
    },
  ],
});
const waypoint = (...chains: readonly object[]): object => ({
  configs: [
    { bootstrap: { layered_runtime: { layers: [] } } },
    { active_state: { listener: { name: "connect_terminate", address: { socket_address: { port_value: 15008 } } } } },
    { active_state: { listener: { name: "main_internal", filter_chains: [...chains, { name: "direct-http" }] } } },
  ],
});
const AMBIENT = "inbound-vip|8000|http|ambient.foo.svc.cluster.local";
const OTHER = "inbound-vip|80|http|other.foo.svc.cluster.local";
const FROM_GATEWAY = {
  filter_state: { key: "io.istio.peer_principal", string_match: { suffix: "/ns/foo/sa/gateway-istio" } },
};

test("a waypoint judges by the chain of the Service that is asked", () => {
  const both = waypoint(vip(AMBIENT, { any: true }), vip(OTHER, { not_id: { any: true } }));
  const asked = (authority?: string, more: object = {}) =>
    explainRequest(both, { method: "GET", path: "/", headers: [], ...(authority && { authority }), ...more }, 0);
  for (const host of ["ambient.foo:8000", "ambient.foo.svc:8000", "ambient.foo.svc.cluster.local:8000"])
    assert.equal(asked(host).decision.verdict, "denied", host);
  assert.equal(asked("other.foo").decision.verdict, "admitted");
  const missing = (explanation: ReturnType<typeof asked>): unknown => {
    const { reason } = explanation.decision;
    return reason.kind === "undecided" ? reason.missing : undefined;
  };
  const services = ["ambient.foo.svc.cluster.local:8000", "other.foo.svc.cluster.local:80"];
  assert.deepEqual(missing(asked("ambient.foo")), { kind: "no-such-service", services });
  assert.deepEqual(missing(asked("ambient.example")), { kind: "no-such-service", services });
  assert.deepEqual(missing(asked()), { kind: "which-service", services });
  // What a gateway sends on may have any host.
  assert.deepEqual(missing(asked("other.foo", { byGateway: true })), { kind: "which-service", services });
  // Its route says where it goes, whatever the host.
  const to = (cluster: string) => asked("other.foo", { byGateway: true, cluster });
  assert.equal(to("outbound|8000||ambient.foo.svc.cluster.local").decision.verdict, "denied");
  assert.equal(to("outbound|80|v1|other.foo.svc.cluster.local").decision.verdict, "admitted");
  assert.deepEqual(missing(to("outbound|8000||other.foo.svc.cluster.local")), { kind: "no-such-service", services });
  assert.equal(asked(undefined, { port: 8000 }).decision.verdict, "denied");
  // The Service that is asked counts, and not the header Host.
  const ambient = "ambient.foo.svc.cluster.local";
  assert.equal(asked("other.foo", { cluster: `outbound|8000||${ambient}` }).decision.verdict, "denied");
});

test("at a waypoint a peer is there and must be given, and a connection has no address", () => {
  const said = (principal: object, more: object = {}) =>
    explainRequest(
      waypoint(vip(AMBIENT, principal)),
      { method: "GET", path: "/", authority: "ambient.foo:8000", headers: [], sourceIp: "10.0.0.1", ...more },
      0,
    ).decision.verdict;
  assert.equal(said(FROM_GATEWAY), "undecided");
  assert.equal(said(FROM_GATEWAY, { peer: "cluster.local/ns/foo/sa/gateway-istio" }), "denied");
  assert.equal(said(FROM_GATEWAY, { peer: "cluster.local/ns/foo/sa/other" }), "admitted");
  const everywhere = { address_prefix: "0.0.0.0", prefix_len: 0 };
  assert.equal(said({ direct_remote_ip: everywhere }), "admitted");
  assert.equal(said({ not_id: { direct_remote_ip: everywhere } }), "denied");
  assert.equal(said({ remote_ip: everywhere }), "undecided");
  assert.equal(said({ remote_ip: everywhere }, { headers: [["X-Forwarded-For", "10.0.0.9"]] }), "denied");
});
