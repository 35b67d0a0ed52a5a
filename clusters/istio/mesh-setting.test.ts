import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Deployment } from "@kubernetes/client-node";
import { jwksFetcherOf, syncedProxies } from "./mesh-setting.ts";

const istiod = (value?: string): V1Deployment => ({
  spec: {
    selector: {},
    template: {
      spec: {
        containers: [
          {
            name: "discovery",
            env: [
              { name: "OTHER", value: "x" },
              ...(value === undefined ? [] : [{ name: "PILOT_JWT_ENABLE_REMOTE_JWKS", value }]),
            ],
          },
        ],
      },
    },
  },
});

test("who fetches key sets stands in istiod's environment", () => {
  assert.equal(jwksFetcherOf(istiod()), "istiod");
  assert.equal(jwksFetcherOf(istiod("false")), "istiod");
  assert.equal(jwksFetcherOf(istiod("hybrid")), "hybrid");
  assert.equal(jwksFetcherOf(istiod("true")), "hybrid");
  assert.equal(jwksFetcherOf(istiod("envoy")), "envoy");
});

test("a proxy is in sync once it has acknowledged what was sent, and something was", () => {
  const acked = { cluster_sent: "1", cluster_acked: "1", listener_sent: "2", listener_acked: "2" };
  const text = JSON.stringify([
    { proxy: "same.foo", ...acked, route_sent: "3", route_acked: "3" },
    { proxy: "no-routes.foo", ...acked },
    { proxy: "behind.foo", ...acked, route_sent: "4", route_acked: "3" },
    { proxy: "new.foo", cluster_sent: "1" },
    { proxy: "connected.foo" },
  ]);
  assert.deepEqual([...syncedProxies(text)], ["same.foo", "no-routes.foo"]);
  assert.equal(syncedProxies("null").size, 0);
});
