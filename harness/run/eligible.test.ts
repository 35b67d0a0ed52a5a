import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshLimits } from "../../clusters/cluster.ts";
import type { Scenario, StepSpec } from "../model/scenario.ts";
import type { TokenSpec } from "../model/token.ts";
import { parseManifest } from "../scenario/index.ts";
import { sentence } from "../../reports/words.ts";
import * as eligible from "./eligible.ts";
import { readProfile } from "./profile.ts";

const words = (finding: ReturnType<typeof eligible.whyNot>): string => (finding === undefined ? "" : sentence(finding));
const whyNot = (...asked: Parameters<typeof eligible.whyNot>): string | undefined =>
  words(eligible.whyNot(...asked)) || undefined;

const position = { file: "scenario.yaml", line: 1, column: 1 };

function scenario(parts: Partial<Scenario> & { apply?: string } = {}): Scenario {
  const { apply = "", ...more } = parts;
  const step: StepSpec = {
    name: "s",
    position,
    apply: apply === "" ? [] : [parseManifest(apply, "policy.yaml")],
    delete: [],
    checks: [],
    matrices: [],
    asked: [],
  };
  return {
    id: "a/b",
    title: "t",
    source: "s",
    level: "core",
    features: [],
    tags: [],
    position,
    workloads: [],
    mesh: {},
    tokens: {},
    steps: [step],
    ...more,
  };
}

const policy = (namespace: string): string =>
  `kind: AuthorizationPolicy\napiVersion: security.istio.io/v1\nmetadata: { name: p, namespace: "${namespace}" }\nspec: {}\n`;
const limits: MeshLimits = { jwksFetch: "istiod", meshWide: false, gateway: true, accessLog: true };
const istio = readProfile("istio");

test("a scenario in its own namespaces runs anywhere", () => {
  assert.equal(whyNot(scenario({ apply: policy("${ns}") }), [], istio, limits), undefined);
  assert.equal(whyNot(scenario({ apply: policy("istio-system") }), [], istio), undefined);
});

test("one that reaches further says with what, and needs permission", () => {
  const further = scenario({ apply: policy("istio-system") });
  assert.match(whyNot(further, [], istio, limits) ?? "", /^AuthorizationPolicy p is applied to istio-system/);
  assert.equal(whyNot(further, [], istio, { ...limits, meshWide: true }), undefined);
});

test("what no flag permits is skipped with it as well", () => {
  const role =
    "kind: ClusterRole\napiVersion: rbac.authorization.k8s.io/v1\nmetadata: { name: r, namespace: '${ns}' }\n";
  assert.match(
    whyNot(scenario({ apply: role }), [], istio, { ...limits, meshWide: true }) ?? "",
    /^ClusterRole r is of the kind ClusterRole\.rbac\..*; no option allows that on an existing mesh$/,
  );
  assert.equal(whyNot(scenario({ apply: role }), [], istio), undefined, "a cluster of our own");
});

test("what a workload brings counts as well", () => {
  const gateway = "kind: Gateway\napiVersion: networking.istio.io/v1\nmetadata: { name: g, namespace: '${ns}' }\n";
  assert.match(
    whyNot(scenario(), [parseManifest(gateway, "gateway.yaml")], istio, limits) ?? "",
    /^Gateway g opens the mesh's own gateway/,
  );
});

test("who fetches a jwksUri matters to scenarios that have one", () => {
  const uri = `${policy("${ns}")}  x:\n    - jwksUri: http://x\n`.replace("spec: {}", "spec:");
  const hybrid = { ...limits, jwksFetch: "hybrid" } as const;
  assert.equal(whyNot(scenario({ apply: policy("${ns}") }), [], istio, hybrid), undefined);
  assert.match(whyNot(scenario({ apply: uri }), [], istio, hybrid) ?? "", /jwksFetch is istiod .*here it is hybrid/);
  assert.equal(whyNot(scenario({ apply: uri, mesh: { jwksFetch: "hybrid" } }), [], istio, hybrid), undefined);
});

test("a mesh that writes no JSON access log cannot say which policy decided", () => {
  const demanding = (details?: string) => {
    const { steps, ...rest } = scenario({ apply: policy("${ns}") });
    const expect = { status: 403, by: "authorization", ...(details === undefined ? {} : { details }) } as const;
    const request = { from: "sleep", to: "httpbin", method: "GET", path: "/", headers: [] };
    const check = { name: "c", position, request, token: "none", expect };
    return { ...rest, steps: steps.map((step) => ({ ...step, checks: [check] })) };
  };
  const silent = { ...limits, accessLog: false };
  assert.match(whyNot(demanding("policy[p]"), [], istio, silent) ?? "", /no JSON access log/);
  assert.equal(whyNot(demanding("policy[p]"), [], istio, limits), undefined);
  assert.equal(whyNot(demanding(), [], istio, silent), undefined);
});

test("features that a mesh lacks", () => {
  const https = scenario({ features: ["jwks-authority"] });
  assert.match(whyNot(https, [], istio, limits) ?? "", /does not trust the certificate/);
  const ingress = scenario({ features: ["ingress-gateway"] });
  assert.match(whyNot(ingress, [], istio, { ...limits, gateway: false }) ?? "", /no ingress gateway/);
});

test("an ASM before 1.13 promises RSA signatures and inline keys alone", () => {
  const token = (alg: NonNullable<TokenSpec["alg"]>): Record<string, TokenSpec> => ({ t: { issuer: "corp", alg } });
  const uri = scenario({ apply: "kind: RequestAuthentication\nspec:\n  jwtRules:\n    - jwksUri: http://x\n" });
  for (const name of ["asm@1.12", "asm@v1.9.7"]) {
    const old = readProfile(name);
    assert.match(words(old.lacks(scenario({ tokens: token("ES256") }))), /RSA signatures alone, and it needs ES256/);
    assert.match(words(old.lacks(scenario({ tokens: token("PS256") }))), /RSA/);
    assert.equal(old.lacks(scenario({ tokens: token("RS512") })), undefined);
    assert.match(words(old.lacks(uri)), /no jwksUri/);
  }
  for (const name of ["asm", "asm@1.13", "asm@1.22.6", "istio"]) {
    assert.equal(readProfile(name).lacks(scenario({ tokens: token("ES256") })), undefined);
    assert.equal(readProfile(name).lacks(uri), undefined);
  }
  assert.throws(() => readProfile("gke"), /there is no profile "gke"/);
});

test("a range of Istio versions decides, and an unknown version is not a version", () => {
  const newer = scenario({ istio: ">=1.29" });
  for (const fits of [
    "1.29.0",
    "1.31.0",
    "v1.30.2",
    "1.29.0-asm.3",
    "1.30-alpha.1",
    "1.30",
    "1.30-20260826",
    "1.31.0-rc.1+x",
  ])
    assert.equal(whyNot(newer, [], istio, undefined, { istio: fits }), undefined, fits);
  assert.equal(
    whyNot(newer, [], istio, undefined, { istio: "1.28.9" }),
    "it holds for Istio >=1.29, and this mesh is 1.28.9",
  );
  assert.match(
    whyNot(newer, [], istio, undefined, { istio: "unknown" }) ?? "",
    /does not say which it is \("unknown"\)$/,
  );
  for (const odd of [
    "sha-9f3c2b1",
    "asm-1226",
    "release-20261101",
    "20261101",
    "2026.11.1",
    "1226.0.0",
    "v1",
    "latest-1.31",
  ])
    assert.match(whyNot(newer, [], istio, undefined, { istio: odd }) ?? "", /does not say which it is \("/, odd);
  for (const odd of ["1.31.x", "1.31.0 and 1.28.2", "1.28.2, 1.31.0", "1.31.0.4", "1.31."])
    assert.match(whyNot(newer, [], istio, undefined, { istio: odd }) ?? "", /does not say which it is \("/, odd);
  assert.match(whyNot(newer, [], istio) ?? "", /does not say which it is$/);
  assert.equal(whyNot(scenario(), [], istio, undefined, { istio: "unknown" }), undefined);
});

test("a setting of the mesh is skipped where the mesh is not ours", () => {
  const merging = scenario({ mesh: { pathNormalization: "MERGE_SLASHES" } });
  assert.equal(
    whyNot(merging, [], istio, limits),
    "it needs the mesh setting pathNormalization: MERGE_SLASHES, and meshproof does not change the settings of an existing mesh",
  );
  const asking = scenario({ mesh: { extAuthz: true } });
  assert.match(whyNot(asking, [], istio, limits) ?? "", /^it needs the extension provider sample-ext-authz-http/);
  assert.equal(whyNot(merging, [], istio), undefined);
  assert.equal(whyNot(asking, [], istio), undefined);
});

test("a scenario that waits longer than a run may is left to runs that ask for it", async () => {
  const waiting = scenario();
  const steps = [{ ...waiting.steps[0]!, at: 70 }];
  const chosen = async (maxWait?: number) =>
    await eligible.choose([{ ...waiting, steps }], "scenarios", istio, undefined, {}, maxWait);
  const { skipped } = await chosen();
  assert.match(
    skipped.map(({ finding }) => sentence(finding)).join(),
    /waits until 70 s .* longer than 30 s \(--max-wait\)/,
  );
  assert.equal((await chosen(70)).chosen.length, 1);
});

test("scenarios of the Gateway API need its CRDs, on every cluster", () => {
  const gateway = scenario({ features: ["gateway-api"] });
  assert.match(whyNot(gateway, [], istio, undefined, { istio: "1.31.0" }) ?? "", /CRDs of the Gateway API are missing/);
  assert.match(whyNot(gateway, [], istio, limits) ?? "", /no GatewayClass `istio` that istiod has accepted/);
  assert.equal(whyNot(gateway, [], istio, limits, { gatewayApi: "v1.6.0" }), undefined);
  const waypoint = scenario({ features: ["gateway-api", "waypoint"] });
  const there = { gatewayApi: "v1.6.0" };
  assert.match(whyNot(waypoint, [], istio, undefined, there) ?? "", /this mesh has no waypoints/);
  assert.equal(whyNot(waypoint, [], istio, undefined, { ...there, waypoints: true }), undefined);
  assert.equal(whyNot(scenario(), [], istio), undefined);
});
