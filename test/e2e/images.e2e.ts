/**
 * The first run of a new user who has a registry: everything but the root file system comes out of images, no compiler runs. The
 * images are made here of the programs in the usual cache, as the projects lay theirs out, in a registry on loopback.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { execa } from "execa";
import { ensureComponents } from "../../clusters/components/components.ts";
import { allComponents, DEFAULT_MESH } from "../../clusters/components/list.ts";
import {
  startRegistry,
  type TestImage,
  type TestRegistry,
} from "../../clusters/components/registry/registry.fixture.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { PROJECT } from "../../cli/context.ts";

/** These are copied into the empty cache: neither is an image. */
const DOWNLOADED = ["debian", "node"];

describe("a first run out of images", () => {
  let folder: string;
  let images: readonly TestImage[];
  let others: readonly string[];
  let registry: TestRegistry;
  let cache: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-images-"));
    const installed = await ensureComponents({ progress: console.error, source: "source" });
    images = await imagesOf((name) => installed.bin(name), installed.istioBootstrap);
    others = installed.components.filter(({ name }) => DOWNLOADED.includes(name)).map(({ dir }) => path.dirname(dir));
    await mkdir(path.join(folder, "docker"));
  });
  after(async () => {
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async (t) => {
    registry = await startRegistry(images);
    cache = await mkdtemp(path.join(folder, "cache-"));
    await mkdir(path.join(cache, "components"));
    for (const entry of others) await execa("cp", ["-a", "--reflink=auto", entry, path.join(cache, "components")]);
    if ("after" in t) t.after(() => registry[Symbol.asyncDispose]());
  });

  const meshproof = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args, "--image-mirror", `${registry.host}/hub`], {
      cwd: PROJECT,
      all: true,
      reject: false,
      stdin: "ignore",
      env: {
        MESHPROOF_CACHE: cache,
        DOCKER_CONFIG: path.join(folder, "docker"),
        CI: "true",
        PATH: "/usr/bin:/bin:/usr/sbin:/sbin",
      },
    });

  it("is green, says which images, and builds nothing", async () => {
    const results = await mkdtemp(path.join(folder, "results-"));
    const started = performance.now();
    const { exitCode, all } = await meshproof("run", "--tag", "documented", "--results", results);
    assert.equal(exitCode, 0, all);
    console.log(`from an empty cache to the end: ${((performance.now() - started) / 1000).toFixed(1)} s`);
    const { cluster, counts } = JSON.parse(
      await readFile(path.join(results, "latest/results.json"), "utf8"),
    ) as RunResult;
    assert.ok(counts.passed > 200, all);
    for (const { name } of images) {
      const published = Object.keys(cluster.digests).find((known) => known.endsWith(name.slice("hub".length)));
      assert.ok(published !== undefined && cluster.digests[published] === registry.digestOf(name), name);
    }
    assert.equal(cluster.versions.istio, DEFAULT_MESH.istio);
    assert.ok(!(await readdir(cache)).includes("go"), "Go's caches are there");
    assert.doesNotMatch(all, /built from source/);
  });

  it("gets through a registry that cuts each blob, limits once, and wants a login", async () => {
    registry.demandLogin("me:secret");
    const refused = await meshproof("components", "--build", "--components", "images");
    assert.equal(refused.exitCode, 3, refused.all);
    assert.match(refused.all, /wants credentials.*\n.*docker login 127\.0\.0\.1/);
    const auth = Buffer.from("me:secret").toString("base64");
    await writeFile(path.join(folder, "docker/config.json"), JSON.stringify({ auths: { [registry.host]: { auth } } }));
    registry.cutEachOnce();
    registry.limitOnce({ "retry-after": "1" });
    const { exitCode, all } = await meshproof("components", "--build", "--components", "images");
    assert.equal(exitCode, 0, all);
    assert.equal((await readdir(path.join(cache, "components"))).filter((name) => !name.startsWith(".")).length, 7);
  });

  it("is killed at any moment, and the next one is whole", async () => {
    for (let kills = 0; kills < 10; kills++) {
      const child = meshproof("components", "--build", "--components", "images");
      const timer = setTimeout(() => child.kill("SIGKILL"), 500 + Math.random() * 6000);
      await child;
      clearTimeout(timer);
    }
    const { exitCode, all } = await meshproof("components", "--build", "--verify", "--components", "images");
    assert.equal(exitCode, 0, all);
    const left = (await readdir(path.join(cache, "components"))).filter((name) => name !== ".locks");
    assert.equal(left.length, 7, left.join(" "));
  });

  it("refuses one wrong byte, keeps nothing of it, and does not build instead", async () => {
    registry.spoil(registry.layersOf(`hub/coreos/etcd:v3.6.16`).at(-1) ?? "");
    const { exitCode, all } = await meshproof("components", "--build");
    assert.equal(exitCode, 3, all);
    assert.match(
      all,
      /coreos\/etcd:\S+ cannot be read: its blob sha256:\w+ is not what the manifest says: it is sha256:/,
    );
    assert.doesNotMatch(all, /built from source/);
    assert.deepEqual(
      (await readdir(path.join(cache, "components"))).filter((name) => name.includes("etcd")),
      [],
    );
  });
});

/** As each project's Dockerfile makes them: a base, and a layer with the program. */
async function imagesOf(bin: (name: string) => string, bootstrap: string): Promise<TestImage[]> {
  const published = (await allComponents([DEFAULT_MESH])).flatMap(({ images }) => images?.images ?? []);
  return Promise.all(
    published.map(async ({ name, files }) => {
      const contents = Object.entries(files).map(async ([to, [from = ""]]): Promise<[string, Buffer]> => {
        const file = to.startsWith("bin/") ? bin(path.basename(to)) : bootstrap;
        return [`/${from}`, await readFile(file)];
      });
      return {
        name: `hub/${name.slice(name.indexOf("/") + 1)}`,
        files: Object.fromEntries(await Promise.all(contents)),
      };
    }),
  );
}
