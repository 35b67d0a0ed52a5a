import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  isInForce,
  markerOf,
  placeholderIssuers,
  policyOfRule,
  readProxyConfig,
  unexplained,
  type PolicyObject,
} from "./proxy-config.ts";

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

  it("shows the URI that the proxy itself fetches", () => {
    const remote = { "origins-0": { issuer: "a", remote_jwks: { http_uri: { uri: "http://x/jwks" } } } };
    const config = readProxyConfig(dump("active_state", jwtFilter(remote)));
    assert.deepEqual(config.jwt, [{ issuer: "a", rule: {}, keys: "remote", uri: "http://x/jwks" }]);
    assert.equal(isInForce(authentication({ jwksUri: "http://x/jwks" }), config), true);
    assert.equal(isInForce(authentication({ jwksUri: "http://y/jwks" }), config), false);
  });

  it("shows an AuthorizationPolicy by namespace and name, not by a name with the same start", () => {
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

  it("ignores draining listeners and unknown shapes", () => {
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

  it("recognises istiod's placeholder key", () => {
    const jwks = '{"keys":[{"kty":"RSA","e":"AQAB","n":"0xObjM0UvS_oaazjpEYlAbwctEJ4L8pH3OuTb7qth7gUwqet-EzQ"}]}';
    const config = readProxyConfig(
      dump("active_state", jwtFilter({ "origins-0": { issuer: "a", local_jwks: { inline_string: jwks } } })),
    );
    assert.deepEqual(placeholderIssuers(authentication({ jwksUri: "http://x" }), config), ["a"]);
  });

  it("shows the nonces of the marker, and does not count it as a rule", () => {
    const policiesOf = (nonce: string, app = "httpbin"): object => {
      const { metadata, spec } = markerOf("foo", nonce, { app });
      return { [`ns[foo]-policy[${metadata.name}]-rule[0]`]: { principals: [spec.rules] } };
    };
    const marker = (nonce: string): unknown => ({
      "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
      shadow_rules: { policies: policiesOf(nonce) },
    });
    const config = readProxyConfig(
      dump("active_state", { name: "rbac", typed_config: marker("0123456789abcdef") }, rbacFilter("DENY", ["x"])),
    );
    assert.deepEqual(config.listeners, [{ name: "virtualInbound", marks: ["0123456789abcdef"], warming: false }]);
    assert.deepEqual(config.rules, ["x"]);
    // One of two filter chains is older.
    const [older, newer] = ["0123456789abcdef", "fedcba9876543210"];
    const halves = dump("active_state", marker(older), marker(newer), rbacFilter("DENY", ["x"]));
    assert.deepEqual(readProxyConfig(halves).listeners[0]?.marks, []);
    // Markers with other selectors do not change.
    const both = {
      "@type": "x.rbac.v3.RBAC",
      shadow_rules: { policies: { ...policiesOf(older), ...policiesOf(newer, "sleep") } },
    };
    assert.deepEqual(readProxyConfig(dump("active_state", both, marker(newer))).listeners[0]?.marks, [newer]);
    const warming = readProxyConfig({
      configs: [
        { name: "in", active_state: {}, warming_state: { listener: marker("0123456789abcdef") } },
        { name: "refused", error_state: { details: "no keys", failed_configuration: marker("fedcba9876543210") } },
        { name: "gone", draining_state: { listener: marker("0123456789abcdef") } },
      ],
    });
    assert.deepEqual(warming.listeners, [
      { name: "in", marks: [], warming: true },
      { name: "refused", marks: [], warming: false, rejected: { details: "no keys", marks: ["fedcba9876543210"] } },
    ]);
  });

  it("distinguishes a jwtRule from an older version of it, in each of its fields", () => {
    const issued = { issuer: "a", audiences: ["x"], forwardOriginalToken: true, outputPayloadToHeader: "p" };
    const rule = {
      ...issued,
      jwks: '{"keys":[]}',
      fromHeaders: [{ name: "h", prefix: "Token " }],
      fromParams: ["q"],
      fromCookies: ["c"],
      outputClaimToHeaders: [{ header: "x-sub", claim: "sub" }],
    };
    const provider = {
      issuer: "a",
      audiences: ["x"],
      forward: true,
      forward_payload_header: "p",
      local_jwks: { inline_string: '{"keys": []}' },
      from_headers: [{ name: "h", value_prefix: "Token " }],
      from_params: ["q"],
      from_cookies: ["c"],
      claim_to_headers: [{ header_name: "x-sub", claim_name: "sub" }],
      payload_in_metadata: "payload",
    };
    const config = readProxyConfig(dump("active_state", jwtFilter({ "origins-0": provider })));
    const policy = (changed: object): PolicyObject => ({
      kind: "RequestAuthentication",
      spec: { jwtRules: [{ ...rule, ...changed }] },
    });
    assert.equal(isInForce(policy({}), config), true);
    const other: Record<keyof typeof rule, unknown> = {
      issuer: "b",
      audiences: ["x", "y"],
      forwardOriginalToken: false,
      outputPayloadToHeader: "other",
      jwks: '{"keys":[{}]}',
      fromHeaders: [{ name: "h" }],
      fromParams: [],
      fromCookies: undefined,
      outputClaimToHeaders: [{ header: "x-sub", claim: "iss" }],
    };
    for (const [name, value] of Object.entries(other))
      assert.equal(isInForce(policy({ [name]: value }), config), false, name);
  });

  it("recognises a rule without issuer, and only that", () => {
    const config = readProxyConfig(
      dump("active_state", jwtFilter({ "origins-0": { local_jwks: { inline_string: "{}" } } })),
    );
    const policy = (rule: object): PolicyObject => ({ kind: "RequestAuthentication", spec: { jwtRules: [rule] } });
    assert.equal(isInForce(policy({ jwks: "{}" }), config), true);
    assert.equal(isInForce(policy({ issuer: "a", jwks: "{}" }), config), false);
  });

  it("reports what the given policies do not explain", () => {
    const config = readProxyConfig(
      dump(
        "active_state",
        jwtFilter({ ...inline, "origins-1": { issuer: "theirs", local_jwks: { inline_string: "{}" } } }),
        rbacFilter("DENY", ["ns[foo]-policy[deny]-rule[0]", "ns[istio-system]-policy[theirs]-rule[1]", "odd"]),
      ),
    );
    const found = unexplained([authentication({ jwks: '{"keys":[]}' }), authorization], config);
    assert.deepEqual(found.rules, ["ns[istio-system]-policy[theirs]-rule[1]", "odd"]);
    assert.deepEqual(
      found.providers.map(({ issuer }) => issuer),
      ["theirs"],
    );
    assert.deepEqual(found.rules.map(policyOfRule), [{ namespace: "istio-system", name: "theirs" }, undefined]);
    assert.deepEqual(policyOfRule("istio-ext-authz-sample-ns[foo]-policy[ask]-rule[0]"), {
      namespace: "foo",
      name: "ask",
    });
  });
});

it("a CUSTOM policy is found under the name of its provider", () => {
  const rules = ["istio-ext-authz-sample-ns[foo]-policy[ask]-rule[0]"];
  const policy = (name: string) => ({ kind: "AuthorizationPolicy", metadata: { name, namespace: "foo" } });
  assert.equal(isInForce(policy("ask"), { jwt: [], rules, listeners: [] }), true);
  assert.equal(isInForce(policy("other"), { jwt: [], rules, listeners: [] }), false);
});
