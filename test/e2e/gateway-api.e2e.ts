/** Policies that are attached to nothing, and a cluster without the Gateway API: a run must not pass, and prints the reason. */

import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import type { RunResult } from "../../harness/model/result.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `gateway-api-${process.pid}`;

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
  let folder: string;
  let scenarios: string;

  const meshproof = async (...args: string[]): Promise<{ exitCode: number | undefined; output: string }> => {
    const options = { cwd: ROOT, all: true, reject: false } as const;
    const { exitCode, all } = await execa(process.execPath, ["cli/meshproof.mjs", ...args], options);
    return { exitCode, output: all };
  };
  const run = async (
    id: string,
  ): Promise<{ exitCode: number | undefined; output: string; result: Partial<RunResult> }> => {
    const results = await mkdtemp(path.join(folder, "results-"));
    const done = await meshproof("run", id, "--name", NAME, "--scenarios", scenarios, "--results", results);
    const text = await readFile(path.join(results, "latest/results.json"), "utf8").catch(() => "{}");
    return { ...done, result: JSON.parse(text) as Partial<RunResult> };
  };
  const write = async (name: string, yaml: string, to = "gateway/gateway"): Promise<string> => {
    const dir = path.join(scenarios, "sabotage", name);
    await mkdir(dir, { recursive: true });
    await writeFile(path.join(dir, "scenario.yaml"), scenarioOf(name, to));
    await writeFile(path.join(dir, "policy.yaml"), yaml);
    return `sabotage/${name}`;
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-gateway-api-"));
    scenarios = path.join(folder, "scenarios");
    await cp(path.join(ROOT, "scenarios"), scenarios, { recursive: true });
    const { exitCode, output } = await meshproof("up", "--name", NAME);
    assert.equal(exitCode, 0, output);
  });
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

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
      ...["kubectl", "--name", NAME, "delete", "crd"],
      ...["gateways", "gatewayclasses", "httproutes"].map((kind) => `${kind}.gateway.networking.k8s.io`),
    );
    assert.equal(exitCode, 0, output);
    const alone = await run("gateway-api/target-refs");
    assert.equal(alone.exitCode, 2, alone.output);
    assert.match(alone.output, /nothing that was selected can run here:[\s\S]*the CRDs of the Gateway API are missing/);
  });
});
