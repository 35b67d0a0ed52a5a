import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import type { Scenario } from "../model/scenario.ts";
import { loadScenarios, parseManifest } from "../scenario/index.ts";
import { findAlone, inLane, laneOf, runsAlone, withoutLanes } from "./lane.ts";
import { checkOf, position } from "./session.fixture.ts";

const ours = { namespace: "foo", outsideNamespace: "meshproof-outside" };

describe("a lane", () => {
  it("has namespaces of its own, and the first one has the run's", () => {
    assert.deepEqual(inLane(ours, 1), ours);
    assert.deepEqual(inLane(ours, 3), { namespace: "foo-lane-3", outsideNamespace: "meshproof-outside-lane-3" });
    const names = ["foo", "meshproof-outside-lane-2", "foo-lane-12", "istio-system", "foo-lane-x", "food-lane-2"];
    assert.deepEqual(
      names.map((name) => laneOf(ours, name)),
      [1, 2, 12, undefined, undefined, undefined],
    );
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
  const alone = (parts: Partial<Scenario>, manifest?: string): boolean =>
    runsAlone(scenario(parts, manifest), [], ours);

  it("not where all of it is in the run's namespaces", () => {
    assert.equal(alone({}), false);
    assert.equal(alone({ mesh: { jwksFetch: "istiod", pathNormalization: "BASE" } }), false);
    assert.equal(
      alone({}, policy(`{ rules: [{ from: [{ source: { principals: ["*/ns/\${ns}/sa/sleep", "f*", "*"] } }] }] }`)),
      false,
    );
  });

  it("with another mesh setting, at the gateway, or with what a cluster has once", () => {
    assert.equal(alone({ mesh: { jwksFetch: "hybrid" } }), true);
    assert.equal(alone({ mesh: { extAuthz: true } }), true);
    assert.equal(alone({ features: ["outside-host"] }), true);
    const steps = scenario({}).steps.map((step) => ({
      ...step,
      checks: [checkOf("/ip", { request: { ...checkOf("/ip").request, to: "ingress" } })],
    }));
    assert.equal(alone({ steps }), true);
  });

  it("with an object that reaches beyond its namespaces, of its own or of a workload", () => {
    assert.equal(alone({}, policy("{}", "istio-system")), true);
    const entry = `apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: { name: a, namespace: "\${ns}" }
spec: { hosts: [a.example] }
`;
    assert.equal(alone({}, entry), true);
    assert.equal(runsAlone(scenario({}), [parse(entry)], ours), true);
  });

  it("with keys that istiod may have from an earlier run", () => {
    const manifest = `apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: a, namespace: "\${ns}" }
spec: { jwtRules: [{ issuer: a, jwksUri: "http://nginx-proxy.\${ns}/jwks" }] }
`;
    assert.equal(alone({}, manifest), true);
  });

  it("where it names a namespace itself, which is lane 1's, or the end of its name", () => {
    for (const source of [
      `namespaces: ["foo"]`,
      `principals: ["cluster.local/ns/foo/sa/sleep"]`,
      `namespaces: ["*oo"]`,
    ])
      assert.equal(alone({}, policy(`{ rules: [{ from: [{ source: { ${source} } }] }] }`)), true, source);
    const { request } = checkOf("/ip");
    const steps = scenario({}).steps.map((step) => ({
      ...step,
      checks: [checkOf("/ip", { request: { ...request, headers: [["Host", "httpbin.foo:8000"]] } })],
    }));
    assert.equal(alone({ steps }), true);
    assert.equal(alone({}, policy(`{ rules: [{ to: [{ operation: { paths: ["/food", "*food"] } }] }] }`)), false);
  });

  it("on a cluster of others always; of ours, three quarters do not", async () => {
    const root = path.join(import.meta.dirname, "../../scenarios");
    const { scenarios } = await loadScenarios(root);
    const settings = { scenarios: root, cluster: { kind: "embedded" } } as const;
    const found = await findAlone(settings, scenarios);
    for (const id of ["paths/skip-jwt-for-paths", "authn/root-namespace", "authz/custom", "jwks/server-500"])
      assert.ok(found.has(id), id);
    for (const id of ["jwt/algorithms", "authz/namespaces", "jwks/server-slow"]) assert.ok(!found.has(id), id);
    assert.ok(found.size < scenarios.length / 4 + 1, `${found.size} of ${scenarios.length}`);
    assert.equal((await findAlone({ ...settings, cluster: { kind: "existing" } }, scenarios)).size, scenarios.length);
  });
});
