/** A real kind cluster, used through the command line; nothing may be left of it however it ends. Needs Docker. */

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { execa } from "execa";
import { connect } from "../../harness/mesh/client.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { upgradeFile } from "../../harness/model/upgrade.ts";
import { baseDir } from "../../clusters/embedded/run-dir.ts";
import { attachKind, stopKind, sweepKind } from "../../clusters/kind/kind.ts";
import { requireDocker } from "../../clusters/kind/docker.ts";
import { findOurs } from "../../clusters/kind/sweep.ts";
import { descendantsOf } from "../../tools/processes.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const kept = `e2e-${process.pid}`;
const killed = `e2e-killed-${process.pid}`;

const without = await requireDocker().then(
  () => false as const,
  (error: Error) => error.message,
);

const start = (...args: string[]) =>
  execa(process.execPath, ["cli/meshproof.mjs", ...args], { cwd: ROOT, all: true, reject: false, env: { CI: "true" } });

async function succeed(...args: string[]): Promise<string> {
  const { exitCode, all } = await start(...args);
  assert.equal(exitCode, 0, all);
  return all;
}

async function untilSo(what: string, ask: () => Promise<boolean>): Promise<void> {
  for (const until = Date.now() + 300_000; Date.now() < until; await delay(200)) if (await ask()) return;
  throw new Error(`not within five minutes: ${what}`);
}

const names = async (cluster: string): Promise<string[]> =>
  (await findOurs(cluster)).map(({ kind, name }) => `${kind} ${name}`);

describe("a kind cluster", { skip: without }, () => {
  let results: string;
  before(async () => {
    results = await mkdtemp(path.join(tmpdir(), "meshproof-kind-e2e-"));
  });
  after(async () => {
    await stopKind(kept);
    await stopKind(killed);
    await rm(results, { recursive: true, force: true });
  });

  test("is kept by up, with every pod and its proxy ready", async () => {
    assert.match(await succeed("up", "--cluster", "kind", "--name", kept), /is up: Kubernetes v1/);
    const cluster = await attachKind(kept);
    assert.ok(cluster);
    assert.match(connect(cluster.kubeconfig).config.getCurrentCluster()?.server ?? "", /^https:\/\/127\.0\.0\.1:/);
    const { items } = await connect(cluster.kubeconfig).core.listNamespacedPod({ namespace: cluster.namespace });
    assert.ok(items.length >= 9);
    for (const { metadata, spec, status } of items) {
      const statuses = [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
      const proxy = statuses.find(({ name }) => name === "istio-proxy");
      const hasProxy = metadata?.labels?.["sidecar.istio.io/inject"] !== "false";
      if (hasProxy) assert.equal(proxy?.ready, true, `${metadata?.name} has no proxy that is ready`);
      assert.ok(
        status?.containerStatuses?.every(({ ready }) => ready),
        `${metadata?.name} is not ready`,
      );
      assert.equal(spec?.nodeName, `meshproof-kind-${kept}`);
    }
  });

  test("runs the documented scenarios with the results that they promise", async () => {
    const tag = ["--tag", "documented"];
    const said = await succeed("run", "--cluster", "kind", "--name", kept, ...tag, "--results", results);
    assert.match(said, /using the running cluster/);
    assert.match(said, /\d+ passed, 0 failed/);
    const { scenarios } = JSON.parse(await readFile(path.join(results, "latest/results.json"), "utf8")) as RunResult;
    const listed = JSON.parse(await succeed("list", "--json", ...tag)) as unknown[];
    assert.deepEqual(
      [scenarios.length, scenarios.filter(({ status }) => status === "passed").length > 0],
      [listed.length, true],
    );
  });

  test("stays when others are swept", async () => {
    await sweepKind();
    assert.deepEqual(await names(kept), [`container meshproof-kind-${kept}`, `volume meshproof-kind-${kept}`]);
  });

  test("is removed by down, and nothing of it is left", async () => {
    assert.match(await succeed("down", "--cluster", "kind", "--name", kept), /is stopped/);
    assert.deepEqual(await names(kept), []);
    assert.match(await succeed("down", "--cluster", "kind", "--name", kept), /no cluster named/);
  });

  test("is upgraded under streams of requests, from and to images that are built here", async () => {
    const name = `e2e-upgrade-${process.pid}`;
    const versions = ["--from", "1.30@1.36", "--to", "1.31@1.40"];
    const place = ["--cluster", "kind", "--images", "offline", "--name", name, "--results", results];
    await succeed("upgrade", "jwt/request-authentication-alone", ...versions, ...place);
    const { from, to, streams, phases } = upgradeFile.parse(
      JSON.parse(await readFile(path.join(results, "latest/upgrade.json"), "utf8")),
    );
    assert.deepEqual([from.kind, from.versions.envoy, to.versions.envoy], ["kind", "1.36.4", "1.40.0"]);
    assert.match(`${from.versions.istio} ${to.versions.istio}`, /^1\.30\S* 1\.31\S*$/);
    assert.ok(phases.some((phase) => phase.name === "workloads"));
    assert.equal(streams.length, 9);
    for (const { right, breaches, problems } of streams)
      assert.deepEqual({ some: right > 0, breaches, problems }, { some: true, breaches: [], problems: [] });
    assert.deepEqual(await names(name), []);
  });

  test("is given back where only the process that started Playwright is killed", async () => {
    const run = start("run", "--cluster", "kind", "--name", killed, "paths/skip-jwt-for-paths", "--results", results);
    await untilSo("the node runs", async () => (await findOurs(killed)).some(({ running }) => running));
    run.kill("SIGKILL");
    await run;
    await untilSo("it is given back", async () => (await names(killed)).length === 0);
  });

  test("whose run is killed whole in the middle goes with the next sweep", async () => {
    const run = start("run", "--cluster", "kind", "--name", killed, "paths/skip-jwt-for-paths", "--results", results);
    await untilSo("the node runs", async () => (await findOurs(killed)).some(({ running }) => running));
    // Playwright's process holds the cluster; it gives it back where only the process that started it ends.
    const pid = run.pid ?? assert.fail("the run has no process");
    for (const each of [pid, ...(await descendantsOf(pid))]) process.kill(each, "SIGKILL");
    await run;
    const left = await names(killed);
    assert.deepEqual(left, [`container meshproof-kind-${killed}`, `volume meshproof-kind-${killed}`]);
    const swept = await sweepKind();
    for (const each of left) assert.ok(swept.includes(each), `${each} was not swept`);
    assert.deepEqual(await names(killed), []);
    assert.equal(existsSync(path.join(baseDir(), `kind.${killed}`)), false);
  });
});

test("without Docker a run suggests the embedded cluster in one sentence", async () => {
  const { exitCode, all } = await execa(
    process.execPath,
    ["cli/meshproof.mjs", "run", "--cluster", "kind", "paths/skip-jwt-for-paths"],
    { cwd: ROOT, all: true, reject: false, env: { DOCKER_HOST: "unix:///nowhere/docker.sock", CI: "true" } },
  );
  assert.equal(exitCode, 3, all);
  assert.match(all, /no Docker daemon answers/);
  assert.match(all, /the embedded cluster needs no Docker/);
});
