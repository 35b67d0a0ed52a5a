import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isInForce, placeholderIssuers, readProxyConfig, selects, type PolicyObject } from "./proxy-config.ts";

const jwtFilter = (providers: unknown): unknown => ({
  name: "envoy.filters.http.jwt_authn",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication",
    providers,
  },
});
const rbacFilter = (action: string, names: string[]): unknown => ({
  name: "envoy.filters.http.rbac",
  typed_config: {
    "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
    rules: { action, policies: Object.fromEntries(names.map((name) => [name, {}])) },
  },
});
const dump = (state: string, ...filters: unknown[]): unknown => ({
  configs: [
    {
      name: "virtualInbound",
      [state]: { listener: { filter_chains: [{ filters: [{ typed_config: { http_filters: filters } }] }] } },
    },
  ],
});
const inline = { "origins-0": { issuer: "a", local_jwks: { inline_string: '{"keys": []}' } } };
const authentication = (rule: object): PolicyObject => ({
  kind: "RequestAuthentication",
  metadata: { namespace: "foo", name: "ra" },
  spec: { jwtRules: [{ issuer: "a", ...rule }] },
});
const authorization: PolicyObject = {
  kind: "AuthorizationPolicy",
  metadata: { namespace: "foo", name: "deny" },
  spec: {},
};

describe("a proxy's config", () => {
  it("shows a RequestAuthentication by issuer and keys", () => {
    const config = readProxyConfig(dump("active_state", jwtFilter(inline)));
    assert.equal(isInForce(authentication({ jwks: '{"keys":[]}' }), config), true);
    assert.equal(isInForce(authentication({ jwks: '{"keys":[{}]}' }), config), false);
    assert.equal(isInForce(authentication({ jwksUri: "http://x/jwks" }), config), true);
    assert.equal(isInForce({ ...authentication({}), spec: { jwtRules: [{ issuer: "b" }] } }, config), false);
  });

  it("tells which URI the proxy itself fetches", () => {
    const remote = { "origins-0": { issuer: "a", remote_jwks: { http_uri: { uri: "http://x/jwks" } } } };
    const config = readProxyConfig(dump("active_state", jwtFilter(remote)));
    assert.deepEqual(config.jwt, [{ issuer: "a", keys: "remote", uri: "http://x/jwks" }]);
    assert.equal(isInForce(authentication({ jwksUri: "http://x/jwks" }), config), true);
    assert.equal(isInForce(authentication({ jwksUri: "http://y/jwks" }), config), false);
  });

  it("shows an AuthorizationPolicy by namespace and name, not by a name that begins alike", () => {
    assert.equal(
      isInForce(
        authorization,
        readProxyConfig(dump("active_state", rbacFilter("DENY", ["ns[foo]-policy[deny]-rule[0]"]))),
      ),
      true,
    );
    assert.equal(
      isInForce(
        authorization,
        readProxyConfig(dump("active_state", rbacFilter("DENY", ["ns[foo]-policy[deny-2]-rule[0]"]))),
      ),
      false,
    );
  });

  it("ignores draining listeners and survives nonsense", () => {
    assert.equal(
      isInForce(
        authorization,
        readProxyConfig(dump("draining_state", rbacFilter("DENY", ["ns[foo]-policy[deny]-rule[0]"]))),
      ),
      false,
    );
    for (const nonsense of [null, 7, "x", [], { configs: [null, { active_state: 3 }] }])
      assert.deepEqual(readProxyConfig(nonsense).rules, []);
  });

  it("knows istiod's placeholder key", () => {
    const jwks = '{"keys":[{"kty":"RSA","e":"AQAB","n":"0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQ"}]}';
    const config = readProxyConfig(
      dump("active_state", jwtFilter({ "origins-0": { issuer: "a", local_jwks: { inline_string: jwks } } })),
    );
    assert.deepEqual(placeholderIssuers(authentication({ jwksUri: "http://x" }), config), ["a"]);
  });

  it("changes its fingerprint with any rule", () => {
    const one = readProxyConfig(dump("active_state", rbacFilter("DENY", ["ns[foo]-policy[deny]-rule[0]"])));
    const other = readProxyConfig(dump("active_state", rbacFilter("ALLOW", ["ns[foo]-policy[deny]-rule[0]"])));
    assert.notEqual(one.fingerprint, other.fingerprint);
  });
});

describe("a selector", () => {
  const pod = { namespace: "foo", labels: { app: "httpbin", version: "v1" } };
  const policy = (namespace: string, matchLabels?: object): PolicyObject => ({
    kind: "AuthorizationPolicy",
    metadata: { namespace, name: "x" },
    spec: matchLabels ? { selector: { matchLabels } } : {},
  });
  it("chooses by labels within its namespace, and everywhere from the root namespace", () => {
    assert.equal(selects(policy("foo"), pod, "istio-system"), true);
    assert.equal(selects(policy("bar"), pod, "istio-system"), false);
    assert.equal(selects(policy("istio-system"), pod, "istio-system"), true);
    assert.equal(selects(policy("foo", { app: "httpbin" }), pod, "istio-system"), true);
    assert.equal(selects(policy("foo", { app: "httpbn" }), pod, "istio-system"), false);
    assert.equal(selects({ ...policy("foo"), spec: { targetRefs: [{}] } }, pod, "istio-system"), undefined);
  });
});

it("a CUSTOM policy is found under the name of its provider", () => {
  const rules = ["istio-ext-authz-sample-ns[foo]-policy[ask]-rule[0]"];
  const policy = (name: string) => ({ kind: "AuthorizationPolicy", metadata: { name, namespace: "foo" } });
  assert.equal(isInForce(policy("ask"), { jwt: [], rules, fingerprint: "" }), true);
  assert.equal(isInForce(policy("other"), { jwt: [], rules, fingerprint: "" }), false);
});
