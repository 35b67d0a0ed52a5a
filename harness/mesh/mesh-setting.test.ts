import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Deployment } from "@kubernetes/client-node";
import { parse } from "yaml";
import {
  hasEnvironment,
  hasSetting,
  jwksFetcherOf,
  sentListeners,
  syncedProxies,
  withSetting,
} from "./mesh-setting.ts";

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

test("istiod's environment decides who fetches key sets", () => {
  assert.equal(jwksFetcherOf(istiod()), "istiod");
  assert.equal(jwksFetcherOf(istiod("false")), "istiod");
  assert.equal(jwksFetcherOf(istiod("hybrid")), "hybrid");
  assert.equal(jwksFetcherOf(istiod("true")), "hybrid");
  assert.equal(jwksFetcherOf(istiod("envoy")), "envoy");
});

test("istiod fits a setting by its environment, and where a variable is missing it has Istio's default", () => {
  const withEnv = (name: string, value: string): V1Deployment => {
    const deployment = istiod();
    deployment.spec?.template.spec?.containers[0]?.env?.push({ name, value });
    return deployment;
  };
  assert.ok(hasEnvironment(istiod(), {}));
  const cases = [
    ["PILOT_JWT_ENABLE_REMOTE_JWKS", "hybrid", { jwksFetch: "hybrid" }],
    ["PILOT_JWT_PUB_KEY_REFRESH_INTERVAL", "1s", { jwksRefresh: "1s" }],
    ["PILOT_ENABLE_MULTIPLE_CUSTOM_AUTHZ_PROVIDERS", "true", { multipleExtAuthz: true }],
    ["ENABLE_SELECTOR_BASED_K8S_GATEWAY_POLICY", "false", { gatewaySelectors: false }],
    ["BLOCKED_CIDRS_IN_JWKS_URIS", "10.0.0.0/8,fd00::/8", { blockedJwksCidrs: ["10.0.0.0/8", "fd00::/8"] }],
  ] as const;
  for (const [name, value, setting] of cases) {
    assert.ok(!hasEnvironment(istiod(), setting), name);
    assert.ok(!hasEnvironment(withEnv(name, value), {}), name);
    assert.ok(hasEnvironment(withEnv(name, value), setting), name);
  }
});

test("a proxy is in sync once something was sent and it has acknowledged all of it", () => {
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

test("after a reload, a proxy is in sync once it has acknowledged other listeners than before", () => {
  const acked = { cluster_sent: "1", cluster_acked: "1" };
  const at = (proxy: string, sent: string, last = sent) => ({
    proxy,
    ...acked,
    listener_sent: sent,
    listener_acked: last,
  });
  const before = sentListeners(JSON.stringify([at("old.foo", "a"), at("new.foo", "b"), { proxy: "none.foo" }]));
  assert.deepEqual(
    [...before],
    [
      ["old.foo", "a"],
      ["new.foo", "b"],
    ],
  );
  const after = JSON.stringify([at("old.foo", "a"), at("new.foo", "c"), at("late.foo", "d", "c"), at("came.foo", "e")]);
  assert.deepEqual([...syncedProxies(after, before)], ["new.foo", "came.foo"]);
});

test("a setting goes into the mesh config and out of it again", () => {
  const before = withSetting("accessLogFile: /dev/stdout\nrootNamespace: istio-system\n", {});
  assert.match(before, /- name: sample-ext-authz-http\n/);
  assert.equal(withSetting(before, {}), before);
  assert.equal(withSetting(before, { pathNormalization: "BASE", extAuthz: true }), before);
  const none = withSetting(before, { pathNormalization: "NONE" });
  assert.match(none, /^pathNormalization:\n {2}normalization: NONE$/m);
  assert.equal(withSetting(none, { pathNormalization: "NONE" }), none);
  const merged = withSetting(none, { pathNormalization: "MERGE_SLASHES" });
  assert.match(merged, /normalization: MERGE_SLASHES\n/);
  assert.deepEqual(parse(withSetting(merged, {})), parse(before));
  const aliased = withSetting(before, { trustDomainAliases: ["old.example"] });
  assert.match(aliased, /^trustDomainAliases:\n {2}- old.example$/m);
  assert.equal(withSetting(aliased, { trustDomainAliases: ["old.example"] }), aliased);
  assert.deepEqual(parse(withSetting(aliased, {})), parse(before));
});

test("istiod has a setting when its own mesh config says so", () => {
  const mesh = (pathNormalization: object, ...names: string[]): string =>
    JSON.stringify({ pathNormalization, extensionProviders: names.map((name) => ({ name })) });
  const providers = ["sample-ext-authz-http", "unreachable-ext-authz-http", "sample-ext-authz-grpc"];
  assert.ok(hasSetting(mesh({}, ...providers), {}));
  assert.ok(hasSetting(mesh({ normalization: "DEFAULT" }, "prometheus", ...providers), { pathNormalization: "BASE" }));
  assert.ok(!hasSetting(mesh({}, ...providers), { pathNormalization: "NONE" }));
  assert.ok(!hasSetting(mesh({ normalization: "NONE" }, ...providers), {}));
  assert.ok(!hasSetting("{}", {}));
  const trustDomainAliases = ["old.example"];
  const aliased = JSON.stringify({ ...JSON.parse(mesh({}, ...providers)), trustDomainAliases });
  assert.ok(hasSetting(aliased, { trustDomainAliases }));
  assert.ok(!hasSetting(aliased, {}));
  assert.ok(!hasSetting(mesh({}, ...providers), { trustDomainAliases }));
  assert.ok(!hasSetting(mesh({}, "sample-ext-authz-http"), {}));
});
