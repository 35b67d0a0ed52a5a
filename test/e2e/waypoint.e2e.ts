/** Waypoints that requests bypass, and policies that are attached to none: a run must not pass, and prints the reason. */

import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { describe, it } from "node:test";
import { sabotageOf } from "./sabotage.fixture.ts";

/** Of the Service `own`, behind the Gateway's listener `ambient` as own.example, with the waypoint of scenarios/workloads/ambient. */
const service = (labels: string): string => `apiVersion: v1
kind: Service
metadata: { name: own, namespace: "\${ns}", labels: { ${labels} } }
spec:
  selector: { app: ambient }
  ports: [{ name: http, port: 8000, targetPort: 8080 }]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: { name: own, namespace: "\${ns}" }
spec:
  parentRefs: [{ name: gateway, sectionName: ambient }]
  hostnames: [own.example]
  rules: [{ backendRefs: [{ name: own, port: 8000 }] }]
`;
const USES = "istio.io/use-waypoint: waypoint";
const INGRESS = 'istio.io/ingress-use-waypoint: "true"';

const policy = (attachment: string, namespace = "${ns}"): string => `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny-headers, namespace: "${namespace}" }
spec:
  ${attachment}
  action: DENY
  rules: [{ to: [{ operation: { paths: [/headers] } }] }]
`;
const SERVICE = "targetRefs: [{ group: '', kind: Service, name: own }]";
const ALLOWED = `
        rows:
          /ip: [200]
`;
const DENIED = `
        rows:
          /headers: [403]
          /ip: [200]
`;

const scenarioOf = (name: string, rows: string): string => `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata: { name: ${name}, title: t, source: s, level: core, features: [gateway-api, waypoint] }
spec:
  workloads: [ambient, gateway, httpbin, outside]
  steps:
    - name: it passes the waypoint
      apply: [service.yaml, policy.yaml]
      checks:
        from: outside
        to: gateway/gateway/ambient
        through: waypoint/waypoint
        headers: { Host: own.example }
        columns: [none]${rows}`;

describe("requests that must pass a waypoint", () => {
  const sabotage = sabotageOf("waypoint");
  const { meshproof, run } = sabotage;
  const write = (name: string, labels: string, yaml: string, rows = DENIED): Promise<string> =>
    sabotage.write(name, {
      ...{ "scenario.yaml": scenarioOf(name, rows), "service.yaml": service(labels), "policy.yaml": yaml },
    });

  it("a policy of the Service passes", async () => {
    const { exitCode, output } = await run(await write("attached", `${USES}, ${INGRESS}`, policy(SERVICE)));
    assert.equal(exitCode, 0, output);
  });

  it("right answers that bypassed the waypoint fail: without ingress-use-waypoint", async () => {
    const harmless = policy(SERVICE).replace("[/headers]", "[/other]");
    const { exitCode, output, result } = await run(await write("bypassed", USES, harmless, ALLOWED));
    assert.equal(exitCode, 1, output);
    assert.match(output, /the request did not pass waypoint\/waypoint: the access log of \S+ has no line for it/);
    const [check] = result.scenarios?.[0]?.steps[0]?.checks ?? [];
    assert.deepEqual([check?.status, check?.got.status, check?.findings?.[0]?.kind], ["failed", 200, "bypassed"]);
  });

  const NOWHERE: readonly (readonly [name: string, labels: string, yaml: string, reason: RegExp])[] = [
    ["unlabelled", INGRESS, policy(SERVICE), /Service own of the policy's own namespace does not use this waypoint/],
    [
      "selector",
      `${USES}, ${INGRESS}`,
      policy("selector: { matchLabels: { app: ambient } }"),
      /it is a waypoint, and a selector does not choose waypoints/,
    ],
    [
      "class",
      `${USES}, ${INGRESS}`,
      policy("targetRefs: [{ group: gateway.networking.k8s.io, kind: GatewayClass, name: istio-waypoint }]"),
      /GatewayClass istio-waypoint in targetRefs works in the root namespace only/,
    ],
    [
      "namespace",
      `${USES}, ${INGRESS}`,
      policy(SERVICE, "${outside.ns}"),
      /Service own of the policy's own namespace does not use this waypoint/,
    ],
  ];
  for (const [name, labels, yaml, reason] of NOWHERE)
    it(`a policy that is attached to nothing is an error at once: ${name}`, async () => {
      const { exitCode, output, result } = await run(await write(name, labels, yaml));
      assert.equal(exitCode, 3, output);
      assert.match(output, reason);
      const [step] = result.scenarios?.[0]?.steps ?? [];
      assert.deepEqual([step?.checks.length, step?.findings?.[0]?.kind], [0, "attached-to-no-proxy"]);
    });

  it("a waypoint that is deleted under a run is an error, and not a pass", async () => {
    const id = await write("deleted", `${USES}, ${INGRESS}`, policy(SERVICE));
    const workload = path.join(sabotage.scenarios, "workloads/ambient/ambient.yaml");
    const text = await readFile(workload, "utf8");
    const deleted = await meshproof("kubectl", "--name", sabotage.name, "-n", "foo", "delete", "gateway", "waypoint");
    assert.equal(deleted.exitCode, 0, deleted.output);
    await writeFile(workload, text.replace(/apiVersion: gateway[\s\S]*?---\n/, ""));
    const { exitCode, output } = await run(id);
    assert.notEqual(exitCode, 0, output);
    assert.match(output, /has a Gateway "waypoint" for waypoint\/waypoint|there is no Gateway foo\/waypoint/);
  });
});
