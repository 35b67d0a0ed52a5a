import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import type { Scenario } from "../model/scenario.ts";
import { loadScenarios, parseManifest } from "../scenario/index.ts";
import { findAlone, inLane, inTestOrder, keepsLane1, ownerOf, runsAlone, withoutLanes, type Alone } from "./lane.ts";
import { lanesOf } from "./plan.ts";
import type { RunSettings } from "./settings.ts";
import { checkOf, position } from "./session.fixture.ts";

const ours = { namespace: "foo", outsideNamespace: "meshproof-outside" };

describe("a lane", () => {
  it("has namespaces of its own, and the first one has the run's", () => {
    assert.deepEqual(inLane(ours, 1), ours);
    assert.deepEqual(inLane(ours, 3), { namespace: "foo-lane-3", outsideNamespace: "meshproof-outside-lane-3" });
    const names = ["foo", "meshproof-outside-lane-2", "foo-lane-12", "istio-system", "foo-lane-x", "food-lane-2"];
    assert.deepEqual(
      names.map((name) => ownerOf(ours, name)),
      [1, 2, 12, 1, 1, 1],
    );
  });

  it("owns what is in its namespaces; lane 1 owns all else, which no other lane may sweep", () => {
    for (const namespace of ["", "istio-system", "default"]) assert.equal(ownerOf(ours, namespace), 1);
  });

  it("does not show in what a scenario found", () => {
    const found = {
      url: "http://httpbin.foo-lane-2:8000/headers",
      details: "rbac_access_denied_matched_policy[ns[foo-lane-2]-policy[deny]-rule[0]]",
      pods: [{ namespace: "meshproof-outside-lane-12", pod: "outside-1" }],
      other: ["food-lane-2", "foo-lane-2-x", "xfoo-lane-2", "spiffe://cluster.local/ns/foo-lane-2/sa/sleep"],
    };
    assert.deepEqual(withoutLanes(ours, found), {
      url: "http://httpbin.foo:8000/headers",
      details: "rbac_access_denied_matched_policy[ns[foo]-policy[deny]-rule[0]]",
      pods: [{ namespace: "meshproof-outside", pod: "outside-1" }],
      other: ["food-lane-2", "foo-lane-2-x", "xfoo-lane-2", "spiffe://cluster.local/ns/foo/sa/sleep"],
    });
  });
});

describe("a scenario runs alone", () => {
  const policy = (spec: string, namespace = "${ns}"): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: a, namespace: "${namespace}" }
spec: ${spec}
`;
  const scenario = (parts: Partial<Scenario>, manifest = policy("{}")): Scenario =>
    ({
      ...{ id: "g/s", features: [], workloads: ["httpbin"], mesh: {}, tokens: {} },
      steps: [
        {
          ...{ name: "s", position, delete: [], matrices: [], asked: [] },
          apply: [parse(manifest)],
          checks: [checkOf("/ip")],
        },
      ],
      ...parts,
    }) as unknown as Scenario;
  const parse = (text: string) => parseManifest(text, "policy.yaml");
  const alone = (parts: Partial<Scenario>, manifest?: string): string | undefined =>
    runsAlone(scenario(parts, manifest), [], ours);

  it("not where all of it is in the run's namespaces", () => {
    assert.equal(alone({}), undefined);
    assert.equal(alone({ mesh: { jwksFetch: "istiod", pathNormalization: "BASE" } }), undefined);
    assert.equal(
      alone({}, policy(`{ rules: [{ from: [{ source: { principals: ["*/ns/\${ns}/sa/sleep", "f*", "*"] } }] }] }`)),
      undefined,
    );
  });

  it("with another mesh setting, at the gateway, or with what a cluster has once", () => {
    assert.equal(alone({ mesh: { jwksFetch: "hybrid" } }), "in-mesh");
    assert.equal(alone({ mesh: { extAuthz: true } }), "in-lane-1");
    assert.equal(alone({ features: ["outside-host"] }), "in-lane-1");
    const steps = scenario({}).steps.map((step) => ({
      ...step,
      checks: [checkOf("/ip", { request: { ...checkOf("/ip").request, to: "ingress" } })],
    }));
    assert.equal(alone({ steps }), "in-lane-1");
  });

  it("with an object that reaches beyond its namespaces, of its own or of a workload", () => {
    assert.equal(alone({}, policy("{}", "istio-system")), "in-mesh");
    const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: a, namespace: "\${ns}" }
spec: { hosts: [a.example] }
`;
    assert.equal(alone({}, entry), "in-mesh");
    assert.equal(runsAlone(scenario({}), [parse(entry)], ours), "in-lane-1");
  });

  it("beside others where its objects reach the gateway alone", () => {
    const ofGateway = (spec: string) => policy(`{ selector: { matchLabels: ${spec} } }`, "istio-system");
    assert.equal(alone({}, ofGateway("{ app: istio-ingressgateway }")), "in-lane-1");
    assert.equal(alone({}, ofGateway("{ app: httpbin }")), "in-mesh");
    const route = (gateways: string) => `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: a, namespace: "\${ns}" }
spec: { hosts: ["*"], ${gateways} http: [] }
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: a, namespace: "\${ns}" }
spec: { selector: { istio: ingressgateway }, servers: [] }
`;
    assert.equal(alone({}, route("gateways: [a],")), "in-lane-1");
    assert.equal(alone({}, route("gateways: [a, mesh],")), "in-mesh");
    assert.equal(alone({}, route("")), "in-mesh");
    assert.equal(alone({}, route("gateways: [a],").replace("istio: ingressgateway", "app: httpbin")), "in-mesh");
  });

  it("with keys that istiod may have from an earlier run", () => {
    const manifest = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: a, namespace: "\${ns}" }
spec: { jwtRules: [{ issuer: a, jwksUri: "http://nginx-proxy.\${ns}/jwks" }] }
`;
    assert.equal(alone({}, manifest), "in-mesh");
    assert.equal(alone({}, manifest.replace("/jwks", "/jwks?${fresh}")), undefined);
  });

  it("where it names a namespace itself, which is lane 1's, or the end of its name", () => {
    for (const source of [
      `namespaces: ["foo"]`,
      `principals: ["cluster.local/ns/foo/sa/sleep"]`,
      `namespaces: ["*oo"]`,
    ])
      assert.equal(alone({}, policy(`{ rules: [{ from: [{ source: { ${source} } }] }] }`)), "in-lane-1", source);
    const { request } = checkOf("/ip");
    const steps = scenario({}).steps.map((step) => ({
      ...step,
      checks: [checkOf("/ip", { request: { ...request, headers: [["Host", "httpbin.foo:8000"]] } })],
    }));
    assert.equal(alone({ steps }), "in-lane-1");
    assert.equal(alone({}, policy(`{ rules: [{ to: [{ operation: { paths: ["/food", "*food"] } }] }] }`)), undefined);
  });

  it("on an existing cluster always; on meshproof's own, three quarters do not", async () => {
    const root = path.join(import.meta.dirname, "../../scenarios");
    const { scenarios } = await loadScenarios(root);
    const settings = { scenarios: root, cluster: { kind: "embedded" } } as const;
    const found = await findAlone(settings, scenarios);
    for (const id of ["authn/root-namespace", "bypass/normalization-none", "jwt/jwks-uri-short-name-envoy"])
      assert.equal(found.get(id), "in-mesh", id);
    for (const id of ["paths/skip-jwt-for-paths", "authz/custom", "jwt/jwks-outside-https"])
      assert.equal(found.get(id), "in-lane-1", id);
    for (const id of ["jwt/algorithms", "jwt/jwks-uri-short-name", "jwks/server-500"]) assert.ok(!found.has(id), id);
    assert.ok(found.size < scenarios.length / 4 + 1, `${found.size} of ${scenarios.length}`);
    assert.equal((await findAlone({ ...settings, cluster: { kind: "existing" } }, scenarios)).size, scenarios.length);
  });
});

describe("the order of scenarios", () => {
  const of = (id: string, steps: number, mesh: Scenario["mesh"] = {}, jwksUri = "${jwksUri.testing-a}"): Scenario => {
    const manifest = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: a }
spec: { jwtRules: [{ issuer: a, jwksUri: "${jwksUri}" }] }
`;
    const step = { apply: [parseManifest(manifest, "a.yaml")] };
    return { id, mesh, steps: Array.from({ length: steps }, () => step) } as unknown as Scenario;
  };
  const scenarios = [
    ...[of("a/short", 1), of("a/long", 3), of("b/keys", 1, {}, "http://keys"), of("b/root", 1)],
    ...[of("c/envoy", 1, { jwksFetch: "envoy" }, "http://keys"), of("d/gateway", 2), of("d/host", 1)],
  ];
  const alone = new Map<string, Alone>([
    ...(["b/keys", "b/root", "c/envoy"] as const).map((id) => [id, "in-mesh"] as const),
    ...(["d/gateway", "d/host"] as const).map((id) => [id, "in-lane-1"] as const),
  ]);

  it("keeps all lanes busy, and ends with the default mesh setting", () => {
    assert.deepEqual(
      inTestOrder(scenarios, alone).map(({ id }) => id),
      ["d/host", "d/gateway", "a/long", "a/short", "c/envoy", "b/keys", "b/root"],
    );
  });

  it("keeps lane 1 for those that need it where it is known that they run", () => {
    const settings = { cluster: { kind: "embedded" }, lanes: 2 } as RunSettings;
    assert.equal(keepsLane1({ ...settings, ids: ["a/long", "d/host"] }, alone), true);
    assert.equal(keepsLane1({ ...settings, ids: ["d/host"], lanes: 1 }, alone), false);
    assert.equal(keepsLane1({ ...settings, ids: ["a/long", "b/keys"] }, alone), false);
    assert.equal(keepsLane1(settings, alone), false);
    assert.deepEqual(lanesOf({ lanes: 2, ownLane1: true }), [1, 2, 3]);
    assert.deepEqual(lanesOf({ lanes: 2 }), [1, 2]);
    assert.deepEqual(lanesOf({}), [1]);
  });
});
