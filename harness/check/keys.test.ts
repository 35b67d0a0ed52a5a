import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ManifestObject } from "../model/manifest.ts";
import { rememberUris, withKeys, withoutUnknownKeys } from "./keys.ts";

const VALUES = {
  ...{ ns: "foo", fresh: "x", outsideNs: "out", outsideIp: "", outsideHost: "" },
  jwks: (issuer: string) => `{"keys":["${issuer}"]}`,
  jwksUri: (issuer: string, via?: string) => `http://${via ?? "in-mesh"}/${issuer}`,
};
const authentication = (rule: object): ManifestObject => ({
  ...{ apiVersion: "security.istio.io/v1", kind: "RequestAuthentication", metadata: { name: "jwt", namespace: "foo" } },
  spec: {
    selector: { matchLabels: { app: "httpbin" } },
    jwtRules: [{ issuer: "https://corp.example", ...rule }],
  },
});
const policy = (kind: string, app?: string): ManifestObject => ({
  ...{ apiVersion: "security.istio.io/v1", kind, metadata: { name: "p", namespace: "foo" } },
  spec: app === undefined ? {} : { selector: { matchLabels: { app } } },
});

/** What istiod is given for the rule, and what is taken for granted. */
function given(rule: object, around: readonly ManifestObject[] = [], mesh = {}): [jwks: unknown, assumed: string[]] {
  const remembered = rememberUris(VALUES);
  remembered.values.jwksUri("corp");
  remembered.values.jwksUri("corp", "outside-http");
  const { objects, assumed } = withKeys([authentication(rule), ...around], remembered, mesh);
  const [{ jwks } = {}] = (objects[0]?.["spec"] as { jwtRules: { jwks?: string }[] }).jwtRules;
  return [jwks, assumed.map(({ issuer }) => issuer)];
}

describe("keys without a cluster", () => {
  const KEYS = VALUES.jwks("corp");
  const unknown = (uri: string): string => JSON.stringify({ "meshproof-keys-not-known": uri });
  const TABLE: readonly (readonly [title: string, found: ReturnType<typeof given>, jwks: string, assumed: string[]])[] =
    [
      ["are those of the policy where it has them", given({ jwks: "{}" }), "{}", []],
      ["are those that a run would serve", given({ jwksUri: "http://in-mesh/corp" }), KEYS, ["https://corp.example"]],
      [
        "are not known of another server",
        given({ jwksUri: "https://login.example/keys" }),
        unknown("https://login.example/keys"),
        [],
      ],
      [
        "are not known where a proxy fetches them",
        given({ jwksUri: "http://in-mesh/corp" }, [], { jwksFetch: "envoy" }),
        unknown("http://in-mesh/corp"),
        [],
      ],
      [
        "are not known where istiod may not ask their server",
        given({ jwksUri: "http://in-mesh/corp" }, [], { blockedJwksCidrs: ["10.96.0.0/12"] }),
        unknown("http://in-mesh/corp"),
        [],
      ],
      [
        "are not known where a policy may guard their server",
        given({ jwksUri: "http://in-mesh/corp" }, [policy("PeerAuthentication")]),
        unknown("http://in-mesh/corp"),
        [],
      ],
      [
        "are known where the policy is for another workload",
        given({ jwksUri: "http://in-mesh/corp" }, [policy("AuthorizationPolicy", "httpbin")]),
        KEYS,
        ["https://corp.example"],
      ],
      [
        "are known where their server is outside the mesh",
        given({ jwksUri: "http://outside-http/corp" }, [policy("PeerAuthentication")]),
        KEYS,
        ["https://corp.example"],
      ],
    ];
  for (const [title, found, jwks, assumed] of TABLE) it(title, () => assert.deepEqual(found, [jwks, assumed]));

  it("that are not known are remote ones in the proxy's config", () => {
    const config = (jwks: unknown): unknown => ({ providers: [{ issuer: "a", local_jwks: { inline_string: jwks } }] });
    assert.deepEqual(withoutUnknownKeys(config(unknown("http://a"))), {
      providers: [{ issuer: "a", remote_jwks: { http_uri: { uri: "http://a" } } }],
    });
    assert.deepEqual(withoutUnknownKeys(config(KEYS)), config(KEYS));
  });
});
