/**
 * A released Istio is unpacked from its images. This test makes the images from the programs in the cache, in a registry on
 * loopback.
 */

import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { ensureComponents, type Installed } from "../../clusters/components/components.ts";
import {
  startRegistry,
  type TestImage,
  type TestRegistry,
} from "../../clusters/components/registry/registry.fixture.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { upgradeFile } from "../../harness/model/upgrade.ts";
import { istioctlStandIn } from "./istioctl.fixture.ts";
import { PROJECT } from "../../cli/context.ts";

/** What the images are made of; it is not the version of a release. */
const BUILT = "1.30-20260826";
const ENVOY = "1.40.0";
const NEXT = "1.31.0";
/** What they are called. As long as the other, so that programs can be made to say it. */
const VERSION = "1.30.20260826";

const IMAGES = ["pilot", "proxyv2", "istioctl"].map((name) => `istio/${name}:${VERSION}`);
const SCENARIOS = ["jwt/request-authentication-alone", "paths/skip-jwt-for-paths"];

describe("a released Istio", () => {
  let folder: string;
  let cache: string;
  let copied: readonly string[];
  let images: readonly TestImage[];
  let registry: TestRegistry;

  before(async () => {
    const meshes = [BUILT, NEXT].map((istio) => ({ istio, envoy: ENVOY }));
    const installed = await ensureComponents({ progress: console.error, meshes });
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-release-"));
    images = await imagesOf(installed, folder);
    registry = await startRegistry(images);
    cache = path.join(folder, "cache");
    copied = await copyEntries(installed, cache);
  });
  after(async () => {
    await registry[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const meshproof = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args], {
      cwd: PROJECT,
      all: true,
      reject: false,
      stdin: "ignore",
      env: { MESHPROOF_CACHE: cache, CI: "true" },
    });
  const mirror = () => ["--image-mirror", `${registry.host}/hub`];
  const release = () => ["--istio", VERSION, ...mirror()];
  const run = async (scenarios: readonly string[], ...flags: string[]) => {
    const results = await mkdtemp(path.join(folder, "results-"));
    const { exitCode, all } = await meshproof("run", ...scenarios, ...flags, "--results", results);
    const read = async () => JSON.parse(await readFile(path.join(results, "latest/results.json"), "utf8")) as RunResult;
    return { exitCode, all, read };
  };
  /** The cache's entries that were not there at first, but for the data that clusters start from. */
  const unpacked = async () => {
    const entries = await readdir(path.join(cache, "components"));
    return entries.filter((entry) => entry !== ".locks" && !copied.includes(entry) && !entry.startsWith("start-data-"));
  };

  it("is refused if one byte of a layer differs, and nothing of it is kept", async () => {
    registry.spoil(registry.layersOf(`hub/istio/proxyv2:${VERSION}`)[1] ?? "");
    const { exitCode, all } = await run(SCENARIOS, ...release());
    assert.equal(exitCode, 3, all);
    assert.match(all, /proxyv2:\S+ cannot be read: its blob sha256:\w+ does not match the manifest: it is sha256:/);
    assert.deepEqual(await unpacked(), []);
    assert.ok(!(await readdir(cache)).includes("image-digests.json"));
    for (const image of images) await registry.push(image); // the same bytes again
  });

  it("runs from its images, whose digests are in the results", async () => {
    const { exitCode, all, read } = await run(SCENARIOS, ...release());
    assert.equal(exitCode, 0, all);
    const { cluster, counts, command } = await read();
    assert.ok(counts.passed > 0);
    assert.deepEqual([cluster.versions.istio, cluster.versions.envoy], [VERSION, ENVOY]);
    for (const image of IMAGES)
      assert.equal(cluster.digests[`docker.io/${image}`], registry.digestOf(`hub/${image}`), image);
    assert.ok(command.includes(`--istio ${VERSION} --image-mirror `), command);
    assert.equal((await unpacked()).length, 1);
  });

  it("is pinned by a digest, and refused by another", async () => {
    const [pilot = ""] = IMAGES;
    const other = `docker.io/${pilot}@${registry.digestOf(`hub/${IMAGES[1] ?? ""}`)}`;
    // This registry returns a manifest by its digest under any name; its content shows which it is.
    const refused = await run(SCENARIOS, ...release(), "--image-digest", other);
    assert.equal(refused.exitCode, 3, refused.all);
    assert.match(refused.all, /istio\/pilot:\S+ cannot be unpacked: it has no usr\/local\/bin\/pilot-discovery/);
    const unknown = await run(SCENARIOS, ...release(), "--image-digest", `${pilot}@sha256:${"0".repeat(64)}`);
    assert.equal(unknown.exitCode, 3, unknown.all);
    assert.match(unknown.all, /istio\/pilot:\S+@sha256:0{64} cannot be read: the registry answers 404/);
    const stray = await run(SCENARIOS, ...release(), "--image-digest", `istio/pilot:1.29.2@sha256:${"0".repeat(64)}`);
    assert.equal(stray.exitCode, 2, stray.all);

    const listed = await meshproof("components");
    assert.equal(listed.exitCode, 0, listed.all);
    const pins = [...listed.stdout.matchAll(/--image-digest (\S+)/g)].flatMap(([, pin = ""]) => [
      "--image-digest",
      pin,
    ]);
    assert.equal(pins.length, 6, listed.stdout);
    const built = await meshproof("components", "--build", ...release(), ...pins);
    assert.equal(built.exitCode, 0, built.all);
    assert.equal((await unpacked()).length, 1);
  });

  it("needs no registry a second time, and is upgraded like one that is built here", async () => {
    const before = registry.asked.length;
    await registry[Symbol.asyncDispose]();
    const results = path.join(folder, "upgrade");
    const args = ["--from", VERSION, "--to", `${NEXT}@${ENVOY}`, ...mirror(), "--results", results];
    const { exitCode, all } = await meshproof("upgrade", SCENARIOS[0] ?? "", ...args);
    assert.equal(exitCode, 0, all);
    const { from, to } = upgradeFile.parse(
      JSON.parse(await readFile(path.join(results, "latest/upgrade.json"), "utf8")),
    );
    assert.deepEqual([from.versions.istio, to.versions.istio], [VERSION, NEXT]);
    for (const image of IMAGES) {
      assert.ok(from.digests[`docker.io/${image}`], image);
      assert.equal(to.digests[`docker.io/${image}`], undefined);
    }
    assert.equal(registry.asked.length, before);
    const fresh = await meshproof("components", "--refresh", ...release());
    assert.equal(fresh.exitCode, 3, fresh.all);
    assert.match(fresh.all, /cannot be reached: .*\n.*--image-mirror names another registry.*1\.31 \(1\.31\.0\)/);
  });
});

/** Images as Istio's Dockerfiles make them, of programs that say {@link VERSION}. */
async function imagesOf(installed: Installed, folder: string): Promise<TestImage[]> {
  const program = async (name: string): Promise<Buffer> => {
    const bytes = await readFile(installed.bin(name));
    let count = 0;
    for (let at = bytes.indexOf(BUILT); at >= 0; at = bytes.indexOf(BUILT, at + 1), count++) bytes.write(VERSION, at);
    assert.ok(count > 0, `${name} does not say ${BUILT}`);
    return bytes;
  };
  const manifests = path.join(folder, "istio-manifests");
  await writeFile(manifests, await program("istio-manifests"), { mode: 0o755 });
  return [
    { name: `hub/${IMAGES[0] ?? ""}`, files: { "/usr/local/bin/pilot-discovery": await program("pilot-discovery") } },
    {
      name: `hub/${IMAGES[1] ?? ""}`,
      files: {
        "/usr/local/bin/pilot-agent": await program("pilot-agent"),
        "/usr/local/bin/envoy": await readFile(installed.bin("envoy")),
        "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json": await readFile(installed.istioBootstrap),
      },
    },
    { name: `hub/${IMAGES[2] ?? ""}`, files: { "/usr/local/bin/istioctl": istioctlStandIn(VERSION, manifests) } },
  ];
}

/** A cache of this test's own, with what is installed in the usual one. No entry is a link: a cache with one is not trusted. */
async function copyEntries({ components }: Installed, cache: string): Promise<string[]> {
  const folder = path.join(cache, "components");
  await mkdir(folder, { recursive: true });
  const entries = [...new Set(components.map(({ dir }) => path.dirname(dir)))];
  for (const entry of entries) await execa("cp", ["-a", "--reflink=auto", entry, folder]);
  return entries.map((entry) => path.basename(entry));
}
