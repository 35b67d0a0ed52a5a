/**
 * The first run of a new user who can reach a registry: all components come from images, without a compiler or a package manager.
 * The test makes the images from the usual cache, with the layout of the published ones, in a registry on loopback.
 */

import assert from "node:assert/strict";
import { copyFile, mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { execa } from "execa";
import { ensureComponents, type Installed } from "../../clusters/components/components.ts";
import { allComponents, DEFAULT_MESH } from "../../clusters/components/list.ts";
import {
  startRegistry,
  type TestImage,
  type TestRegistry,
} from "../../clusters/components/registry/registry.fixture.ts";
import { istioctlStandIn } from "./istioctl.fixture.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { PROJECT } from "../../cli/context.ts";

/** The Debian packages whose programs are all that PATH has: there is no apt, pip, Go, curl, ip or iptables. */
const PACKAGES = ["coreutils", "dash", "mount", "uidmap", "util-linux", "util-linux-extra"];

/** Runs a command where these programs are in a folder of their own and none in the usual ones but `sh` and `env`, as on NixOS. */
const ELSEWHERE = `
programs=$1; shift
for usual in /usr/bin /usr/sbin; do "$programs/mount" -t tmpfs none "$usual"; done
"$programs/cp" "$programs/dash" /usr/bin/sh
"$programs/cp" "$programs/env" /usr/bin/env
exec "$@"
`;

/** Node.js, debian, envoy of Istio's image in Istio's own: what is in the cache then. */
const ENTRIES = 7;

describe("a first run from images", () => {
  let folder: string;
  let images: readonly TestImage[];
  let programs: string;
  let registry: TestRegistry;
  let cache: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-images-"));
    const installed = await ensureComponents({ progress: console.error, source: "source" });
    images = await imagesOf(installed);
    // Not below /tmp, which is another one inside a cluster.
    await mkdir(path.join(PROJECT, "results"), { recursive: true });
    programs = await mkdtemp(path.join(PROJECT, "results/programs-"));
    const { stdout } = await execa("dpkg", ["-L", ...PACKAGES], { reject: false });
    for (const file of stdout.split("\n").filter((line) => /^(\/usr)?\/s?bin\/[^/]+$/.test(line)))
      await copyFile(file, path.join(programs, path.basename(file)));
    await mkdir(path.join(folder, "docker"));
  });
  after(async () => {
    for (const made of [folder, programs]) await rm(made, { recursive: true, force: true });
  });
  beforeEach(async (t) => {
    registry = await startRegistry(images);
    cache = await mkdtemp(path.join(folder, "cache-"));
    if ("after" in t) t.after(() => registry[Symbol.asyncDispose]());
  });

  const elsewhere = (...args: string[]): [string, string[]] => {
    const command = [process.execPath, "cli/meshproof.mjs", ...args];
    // An ordinary user cannot hide the usual folders, and has the programs in PATH all the same.
    if (process.getuid?.() !== 0) return [command[0]!, command.slice(1)];
    return ["unshare", ["--mount", "sh", "-euc", ELSEWHERE, "sh", programs, ...command]];
  };
  const meshproof = (...args: string[]) =>
    execa(...elsewhere(...args, "--image-mirror", `${registry.host}/hub`), {
      cwd: PROJECT,
      all: true,
      reject: false,
      stdin: "ignore",
      env: {
        MESHPROOF_CACHE: cache,
        DOCKER_CONFIG: path.join(folder, "docker"),
        CI: "true",
        PATH: programs,
      },
    });
  /** The cache's entries, but for the data that clusters start from. */
  const entries = async (): Promise<string[]> =>
    (await readdir(path.join(cache, "components"))).filter(
      (name) => name !== ".locks" && !name.startsWith("start-data-"),
    );

  it("passes with only util-linux and Node.js, lists the images, and builds nothing", async () => {
    const env = { MESHPROOF_CACHE: cache, PATH: programs };
    const doctor = await execa(...elsewhere("doctor"), { cwd: PROJECT, env, reject: false });
    assert.equal(doctor.exitCode, 0, doctor.stdout);
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

  it("works with a registry that cuts off each blob, limits requests once, and requires a login", async () => {
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
    assert.equal((await entries()).length, ENTRIES);
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
    const left = await entries();
    assert.equal(left.length, ENTRIES, left.join(" "));
  });

  it("refuses one wrong byte, keeps nothing of it, and does not build instead", async () => {
    registry.spoil(registry.layersOf(`hub/coreos/etcd:v3.6.16`).at(-1) ?? "");
    const { exitCode, all } = await meshproof("components", "--build");
    assert.equal(exitCode, 3, all);
    assert.match(
      all,
      /coreos\/etcd:\S+ cannot be read: its blob sha256:\w+ does not match the manifest: it is sha256:/,
    );
    assert.doesNotMatch(all, /built from source/);
    assert.deepEqual(
      (await entries()).filter((name) => name.includes("etcd")),
      [],
    );
  });

  it("unpacks and verifies another machine's images, and does not run them", async () => {
    const machine = process.arch === "x64" ? "arm64" : "amd64";
    const files = (given: TestImage["files"]) =>
      Object.fromEntries(Object.keys(given).map((name) => [name, elf(machine)]));
    for (const image of images) await registry.push({ ...image, architecture: machine, files: files(image.files) });
    const { exitCode, all } = await meshproof("components", "--platform", `linux/${machine}`);
    assert.equal(exitCode, 0, all);
    for (const name of ["kubernetes", "istio", "etcd", "debian"])
      assert.match(all, new RegExp(`^${name} .*/files$`, "m"));
    for (const entry of await entries()) {
      const text = await readFile(path.join(cache, "components", entry, "component.json"), "utf8");
      assert.equal((JSON.parse(text) as { details: Record<string, string> }).details["platform"], `linux/${machine}`);
    }
    const [etcd] = images.filter(({ name }) => name.includes("etcd"));
    if (etcd === undefined) throw new Error("no image has etcd");
    await registry.push({
      ...etcd,
      architecture: machine,
      files: { ...files(etcd.files), "/usr/local/bin/etcd": elf("riscv64") },
    });
    const refused = await meshproof("components", "--platform", `linux/${machine}`, "--refresh");
    assert.equal(refused.exitCode, 3, refused.all);
    assert.match(refused.all, new RegExp(`etcd of \\S+ is not a program for ${machine}`));
  });
});

it("a build from source is killed at any moment, and the next one is whole", async (t) => {
  const cache = await mkdtemp(path.join(tmpdir(), "meshproof-build-"));
  t.after(() => rm(cache, { recursive: true, force: true }));
  // All but one component, so that it takes seconds.
  const installed = await ensureComponents({ progress: console.error, source: "source" });
  await mkdir(path.join(cache, "components"));
  for (const { name, dir } of installed.components)
    if (name !== "go-httpbin") await execa("cp", ["-al", path.dirname(dir), path.join(cache, "components")]);
  const build = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", "components", "--build", "--components", "source", ...args], {
      cwd: PROJECT,
      all: true,
      reject: false,
      stdin: "ignore",
      env: { MESHPROOF_CACHE: cache, CI: "true", GOMODCACHE: undefined, GOCACHE: undefined },
    });
  for (let kills = 0; kills < 10; kills++) {
    const child = build();
    const timer = setTimeout(() => child.kill("SIGKILL"), 500 + Math.random() * 4000);
    await child;
    clearTimeout(timer);
  }
  const { exitCode, all } = await build("--verify");
  assert.equal(exitCode, 0, all);
  const left = (await readdir(path.join(cache, "components"))).filter((name) => name !== ".locks");
  assert.deepEqual(left.toSorted(), installed.components.map(({ dir }) => path.basename(path.dirname(dir))).toSorted());
  assert.ok(!(await readdir(cache)).includes("go"), "Go's caches are there");
});

/** The beginning of a program for a machine (System V ABI, "ELF header"). */
function elf(machine: string): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE({ amd64: 62, arm64: 183 }[machine] ?? 243, 18);
  return header;
}

/** As each project's Dockerfile makes them: a base, and a layer with the program. */
async function imagesOf(installed: Installed): Promise<TestImage[]> {
  const content = async (to: string): Promise<Buffer> => {
    if (to === "bin/istioctl") return istioctlStandIn(DEFAULT_MESH.istio, installed.bin("istio-manifests"));
    if (to === "envoy_bootstrap.json") return readFile(installed.istioBootstrap);
    return readFile(to.startsWith("bin/") ? installed.bin(path.basename(to)) : path.join(installed.root, to));
  };
  const published = (await allComponents([DEFAULT_MESH])).flatMap(({ images }) => images?.images ?? []);
  const byName = Map.groupBy(published, ({ name }) => name);
  return Promise.all(
    [...byName].map(async ([name, those]) => {
      const files = those.flatMap((image) => Object.entries(image.files));
      return {
        name: `hub/${name.slice(name.indexOf("/") + 1)}`,
        base: those.some(({ except }) => except !== undefined) ? installed.root : undefined,
        files: Object.fromEntries(
          await Promise.all(
            files.map(async ([to, [from = ""]]): Promise<[string, Buffer]> => [`/${from}`, await content(to)]),
          ),
        ),
      };
    }),
  );
}
