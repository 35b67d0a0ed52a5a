/** Policies that are attached to nothing, and a cluster without the Gateway API: a run must not pass, and prints the reason. */

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sabotageOf } from "./sabotage.fixture.ts";

const policy = (namespace: string, target: string): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny-headers, namespace: "${namespace}" }
spec:
  targetRefs: [${target}]
  action: DENY
  rules: [{ to: [{ operation: { paths: [/headers] } }] }]
`;
const GATEWAY = "{ group: gateway.networking.k8s.io, kind: Gateway, name: gateway }";
const SERVICE = "{ group: '', kind: Service, name: httpbin }";
const CLASS = "{ group: gateway.networking.k8s.io, kind: GatewayClass, name: istio }";

const scenarioOf = (name: string, to: string): string => `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata: { name: ${name}, title: t, source: s, level: core, features: [gateway-api] }
spec:
  workloads: [httpbin, gateway, outside]
  steps:
    - name: it denies
      apply: policy.yaml
      checks:
        from: outside
        to: ${to}
        columns: [none]
        rows:
          /headers: [403]
          /ip: [200]
`;

describe("policies at gateways of the Gateway API", () => {
  const sabotage = sabotageOf("gateway-api");
  const { meshproof, run } = sabotage;
  const write = (name: string, yaml: string, to = "gateway/gateway"): Promise<string> =>
    sabotage.write(name, { "scenario.yaml": scenarioOf(name, to), "policy.yaml": yaml });

  it("a policy at the right Gateway passes, and without it the same checks fail", async () => {
    const passed = await run(await write("attached", policy("${ns}", GATEWAY)));
    assert.equal(passed.exitCode, 0, passed.output);
    const open = policy("${ns}", GATEWAY).replace("[/headers]", "[/other]");
    const failed = await run(await write("other-path", open));
    assert.equal(failed.exitCode, 1, failed.output);
    assert.match(failed.output, /expected 403 from authorization, got 200 from the workload/);
  });

  const NOWHERE: readonly (readonly [name: string, yaml: string, to: string, reason: RegExp])[] = [
    ["service", policy("${ns}", SERVICE), "gateway/gateway", /a policy for Service httpbin holds at a waypoint/],
    ["class", policy("istio-system", CLASS), "gateway/gateway", /GatewayClass istio in targetRefs means waypoints/],
    [
      "namespace",
      policy("${outside.ns}", GATEWAY),
      "gateway/gateway",
      /Gateway gateway is looked for in the policy's own namespace/,
    ],
    [
      "other-gateway",
      policy("${ns}", GATEWAY.replace("name: gateway", "name: other")),
      "gateway/gateway",
      /belongs to another Gateway than Gateway other/,
    ],
    ["sidecar", policy("${ns}", GATEWAY), "httpbin", /targetRefs are ignored at a proxy without the label/],
  ];
  for (const [name, yaml, to, reason] of NOWHERE)
    it(`a policy that is attached to nothing is an error at once: ${name}`, async () => {
      const { exitCode, output, result } = await run(await write(name, yaml, to));
      assert.equal(exitCode, 3, output);
      assert.match(
        output,
        /AuthorizationPolicy \S+ is accepted and holds at none of the proxies that judge these requests/,
      );
      assert.match(output, reason);
      const [step] = result.scenarios?.[0]?.steps ?? [];
      assert.deepEqual([step?.checks.length, step?.findings?.[0]?.kind], [0, "attached-to-no-proxy"]);
      assert.equal(step?.objects[0]?.inForceMs, undefined);
    });

  it("without the CRDs the scenarios are skipped, with the reason", async () => {
    const { exitCode, output } = await meshproof(
      ...["kubectl", "--name", sabotage.name, "delete", "crd"],
      ...["gateways", "gatewayclasses", "httproutes"].map((kind) => `${kind}.gateway.networking.k8s.io`),
    );
    assert.equal(exitCode, 0, output);
    for (const id of ["gateway-api/target-refs", "waypoint/service"]) {
      const alone = await run(id);
      assert.equal(alone.exitCode, 2, alone.output);
      assert.match(
        alone.output,
        /nothing that was selected can run here:[\s\S]*the CRDs of the Gateway API are missing/,
      );
    }
  });
});
