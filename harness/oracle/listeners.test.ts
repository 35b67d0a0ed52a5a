import assert from "node:assert/strict";
import { test } from "node:test";
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
