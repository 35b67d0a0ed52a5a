/** An upgrade passes, and one that loses the policies for a second fails. */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { runDirOf } from "../../clusters/embedded/run-dir.ts";
import { connect, type Manifest } from "../../harness/mesh/client.ts";
import { upgradeFile } from "../../harness/model/upgrade.ts";
import { findSecrets } from "../../cli/find-secrets.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAMESPACE = "meshproof-upgrade";
const SCENARIO = "jwt/request-authentication-alone";

describe("upgrade", () => {
  let folder: string;
  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-upgrade-"))));
  after(() => rm(folder, { recursive: true }));

  /** Upgrades, and does something as a phase begins. */
  const upgrade = async (
    given: readonly string[],
    meddle?: { readonly phase: string; readonly act: (cluster: string) => Promise<void> },
  ) => {
    const name = `upgrade-e2e-${process.pid}`;
    const results = await mkdtemp(path.join(folder, "results-"));
    const args = ["upgrade", SCENARIO, ...given, "--name", name, "--results", results];
    const secretsFile = path.join(folder, "secrets.txt");
    const run = execa(process.execPath, ["cli/meshproof.mjs", ...args], {
      ...{ cwd: ROOT, all: true, reject: false },
      env: { MESHPROOF_SECRETS_FILE: secretsFile },
    });
    let meddled: Promise<void> | undefined;
    const output: string[] = [];
    for await (const line of run.iterable({ from: "all" })) {
      output.push(line);
      if (meddle && line.endsWith(`upgrade: ${meddle.phase}`)) meddled ??= meddle.act(name);
    }
    const { exitCode } = await run;
    await meddled;
    const read = (file: string) => readFile(path.join(results, "latest", file), "utf8");
    const told = output.join("\n");
    const result = upgradeFile.parse(JSON.parse(await read("upgrade.json").catch(() => assert.fail(told))));
    const secrets = (await readFile(secretsFile, "utf8")).trim().split("\n");
    assert.ok(secrets.length > 1);
    assert.deepEqual(await findSecrets(results, secrets), []);
    return { exitCode, output: told, result, meddled: meddled !== undefined, read };
  };

  it("lets nothing through, and reports the versions before and after", async () => {
    const done = await upgrade(["--from", "1.30@1.36", "--to", "1.31@1.40"]);
    assert.equal(done.exitCode, 0, done.output);
    const { from, to } = done.result;
    assert.match(from.versions.istio, /^1\.30\b/);
    assert.match(to.versions.istio, /^1\.31\b/);
    assert.deepEqual([from.versions.envoy, to.versions.envoy], ["1.36.4", "1.40.0"]);
    for (const name of ["istio", "envoy"]) assert.notEqual(from.digests[name], to.digests[name]);
    assert.deepEqual(
      done.result.phases.map(({ name }) => name),
      ["first run", "before", "control plane", "gateway", "workloads", "after", "second run"],
    );
    assert.equal(done.result.streams.length, 9);
    const rare = done.result.streams.filter(({ name }) => name.startsWith("ingress gateway"));
    const always = done.result.streams.filter(({ name }) => !name.startsWith("ingress gateway"));
    assert.equal(rare.length, 3);
    for (const { name, due } of rare) {
      // Each with those that send the same: a valid token is sent twice as often.
      const same = always.filter((stream) => stream.name.split(", ")[1] === name.split(", ")[1]);
      assert.equal(same.length, 2);
      for (const other of same) assert.ok(due < other.due, `${name} ${due}, ${other.name} ${other.due}`);
    }
    for (const stream of done.result.streams) {
      assert.ok(stream.sent > 0 && stream.right > 0, JSON.stringify(stream));
      assert.deepEqual(stream.breaches, []);
    }
    assert.equal(done.result.unexpected, 0);
    for (const file of ["from/results.json", "to/results.json", "diff.json", "upgrade.md"]) await done.read(file);
    assert.match(await done.read("upgrade.html"), /1\.36\.4/);
  });

  it("catches policies that are lost for a second", async () => {
    // Not by kubectl, whose start alone may take as long as a phase.
    const lose = async (cluster: string): Promise<void> => {
      const kube = connect(runDirOf(cluster).kubeconfig);
      const group = `/apis/security.istio.io/v1/namespaces/${NAMESPACE}`;
      const policies: Manifest[] = [];
      for (const [kind, plural] of [
        ["RequestAuthentication", "requestauthentications"],
        ["AuthorizationPolicy", "authorizationpolicies"],
      ] as const) {
        const { items } = await kube.objects.get<{ items: Manifest[] }>(`${group}/${plural}`);
        for (const { metadata, spec } of items) {
          const { name } = metadata;
          if (name !== "guarded") continue;
          policies.push({ apiVersion: "security.istio.io/v1", kind, metadata: { name, namespace: NAMESPACE }, spec });
        }
      }
      assert.equal(policies.length, 2);
      for (const policy of policies) await kube.objects.remove(policy);
      await delay(1000); // as long as they are lost; nothing is waited for
      for (const policy of policies) await kube.objects.apply(policy);
    };
    const done = await upgrade(["--from", "1.30@1.36", "--to", "1.31@1.40"], { phase: "gateway", act: lose });
    assert.ok(done.meddled);
    assert.equal(done.exitCode, 1, done.output);
    const breached = done.result.streams.filter(({ breaches }) => breaches.length > 0);
    assert.deepEqual(breached.map(({ name }) => name).sort(), ["sidecar, forged token", "sidecar, no token"]);
    for (const { status, phase } of breached.flatMap(({ breaches }) => breaches)) {
      assert.equal(status, 200);
      assert.ok(["gateway", "workloads"].includes(phase), phase);
    }
    assert.match(done.output, /sidecar, no token: \d+ requests that must be refused were let through/);
  });
});
