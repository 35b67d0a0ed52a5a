import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const ROOT = path.join(import.meta.dirname, "../..");

const SCENARIO = `apiVersion: meshproof.dev/v1alpha1
kind: Scenario
metadata: { name: NAME, title: t, source: s, level: provisional }
spec:
  workloads: [httpbin, sleep]
  steps:
    - name: open
      apply: [policy.yaml, other.yaml]
      checks: [{ from: sleep, to: httpbin, path: /headers, expect: 200 }]
`;
const POLICY = `apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: NAME, namespace: "\${ns}" }
spec: { action: DENY, rules: [{ to: [{ operation: { paths: ["/nowhere"] } }] }] }
`;

test("more scenarios than a process may have open files are loaded and linted", async () => {
  const folder = await mkdtemp(path.join(tmpdir(), "meshproof-many-"));
  try {
    for (const part of ["workloads", "issuers"])
      await cp(path.join(ROOT, "scenarios", part), path.join(folder, part), { recursive: true });
    for (let i = 0; i < 300; i++) {
      const name = `s${i}`;
      const dir = path.join(folder, "many", name);
      await mkdir(dir, { recursive: true });
      await writeFile(path.join(dir, "scenario.yaml"), SCENARIO.replace("NAME", name));
      await writeFile(path.join(dir, "policy.yaml"), POLICY.replace("NAME", name));
      await writeFile(path.join(dir, "other.yaml"), POLICY.replace("NAME", `${name}-other`));
    }
    // Node itself has about 30 open files.
    const command = `ulimit -n 100 && exec "${process.execPath}" cli/main.ts lint --scenarios "${folder}"`;
    const { stdout } = await promisify(execFile)("sh", ["-c", command], { cwd: ROOT });
    assert.match(stdout, /^300 scenarios can run, 0 problems$/m);
  } finally {
    await rm(folder, { recursive: true });
  }
});
