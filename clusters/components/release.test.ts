import assert from "node:assert/strict";
import { appendFile, mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { test, type TestContext } from "node:test";

import { startRegistry, type TestImage } from "./registry/registry.fixture.ts";
import { useCache } from "./cache.fixture.ts";
import { ensureEntry, type InstalledComponent } from "./entry.ts";
import { cleanComponents, ensureComponents, installedOf, listComponents } from "./components.ts";
import { FILTER_MARKS } from "./istio-filters.ts";
import { imageDigestsOf, imageRecipe, type ImageOptions } from "./images.ts";
import { hasOwnFilters, ownEnvoyOf, releaseComponent, saidVersion } from "./release.ts";
import { rememberedDigests } from "./remembered.ts";

const VERSION = "1.29.2";
const PILOT = `docker.io/istio/pilot:${VERSION}`;

const script = (text: string) => Buffer.from(`#!/bin/sh\necho '${text}'\n`);
const says = (version: string) => script(JSON.stringify({ clientVersion: { version } }));
/** Images whose programs are scripts that say a version. */
function release(version = VERSION, tag = VERSION): TestImage[] {
  const envoy = script("envoy  version: 0123abcd/1.37.3-dev/Clean/RELEASE/BoringSSL");
  return [
    { name: `hub/istio/pilot:${tag}`, files: { "/usr/local/bin/pilot-discovery": says(version) } },
    {
      name: `hub/istio/proxyv2:${tag}`,
      files: {
        "/usr/local/bin/pilot-agent": says(version),
        "/usr/local/bin/envoy": Buffer.concat([envoy, Buffer.from(`exit\n${FILTER_MARKS.join("\n")}\n`)]),
        "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json": Buffer.from("{}"),
      },
    },
    { name: `hub/istio/istioctl:${tag}`, files: { "/usr/local/bin/istioctl": says(version) } },
  ];
}

async function start(t: TestContext, images = release()) {
  const registry = await startRegistry(images);
  t.after(() => registry[Symbol.asyncDispose]());
  const cache = await mkdtemp(join(tmpdir(), "meshproof-release-"));
  t.after(() => rm(cache, { recursive: true }));
  const mirror = `${registry.host}/hub`;
  const install = async (options: Partial<ImageOptions> = {}) => {
    const recipe = await imageRecipe(releaseComponent(VERSION), {
      places: { mirror },
      cache,
      hint: "a hint",
      ...options,
    });
    return ensureEntry(recipe, { cache, progress: () => undefined });
  };
  /** Whether the cache holds nothing that could be taken for a component, and remembers nothing. */
  const assertUntouched = async () => {
    const entries = await readdir(join(cache, "components")).catch(() => []);
    assert.deepEqual(
      entries.filter((name) => name !== ".locks"),
      [],
    );
    assert.deepEqual(await rememberedDigests(cache), {});
  };
  return { registry, cache, mirror, install, assertUntouched };
}

test("a release is unpacked, its digests are kept, and a second start sends no request", async (t) => {
  const { registry, cache, mirror, install } = await start(t);
  const istio = await install();
  assert.deepEqual(istio.programs, ["envoy", "istioctl", "pilot-agent", "pilot-discovery"]);
  assert.equal(await readFile(join(istio.dir, "envoy_bootstrap.json"), "utf8"), "{}");
  const images = ["pilot", "proxyv2", "istioctl"].map((image) => `istio/${image}:${VERSION}`);
  assert.deepEqual(
    imageDigestsOf(istio),
    Object.fromEntries(images.map((image) => [`docker.io/${image}`, registry.digestOf(`hub/${image}`)])),
  );
  assert.deepEqual(
    await rememberedDigests(cache),
    Object.fromEntries(images.map((image) => [`${mirror}/${image}`, registry.digestOf(`hub/${image}`)])),
  );
  const envoy = ownEnvoyOf(istio);
  assert.equal(envoy?.version, "1.37.3-dev");
  assert.deepEqual(envoy?.programs, ["envoy"]);
  assert.notEqual(envoy?.digest, istio.digest);
  assert.ok(hasOwnFilters(istio));

  const before = registry.asked.length;
  await registry[Symbol.asyncDispose]();
  assert.equal((await install()).dir, istio.dir);
  assert.equal(registry.asked.length, before);
});

test("a tag that moved is what it was, until it is asked for again", async (t) => {
  const { registry, install } = await start(t);
  const old = await install();
  await registry.push({
    name: `hub/istio/pilot:${VERSION}`,
    files: { "/usr/local/bin/pilot-discovery": says(VERSION), "/usr/local/bin/other": Buffer.from("") },
  });
  assert.equal((await install()).dir, old.dir);
  const fresh = await install({ refresh: true });
  assert.notEqual(fresh.dir, old.dir);
  assert.notEqual(imageDigestsOf(fresh)[PILOT], imageDigestsOf(old)[PILOT]);
  assert.equal((await install()).dir, fresh.dir);
});

test("a given digest is what counts, and is not taken for the tag's", async (t) => {
  const { registry, mirror, install } = await start(t);
  const old = await install();
  const tag = `hub/istio/pilot:${VERSION}`;
  await registry.push({
    name: tag,
    files: { "/usr/local/bin/pilot-discovery": Buffer.concat([says(VERSION), Buffer.of(10)]) },
  });
  const pin = (digest: string) => ({ places: { mirror, digests: { [`istio/pilot:${VERSION}`]: digest } } });
  const pinned = await install(pin(registry.digestOf(tag)));
  assert.equal(imageDigestsOf(pinned)[PILOT], registry.digestOf(tag));
  assert.equal((await install()).dir, old.dir);
  assert.equal((await install({ ...pin(imageDigestsOf(old)[PILOT] ?? ""), refresh: true })).dir, old.dir);
  await assert.rejects(install(pin(`sha256:${"0".repeat(64)}`)), {
    code: "ERR_COMPONENT",
    hint: "a hint",
    message: /pilot:1\.29\.2@sha256:0{64} cannot be read: the registry answers 404/,
  });
  assert.equal((await install()).dir, old.dir);
});

test("what cannot be trusted or used leaves nothing behind", async (t) => {
  const spoilt = await start(t);
  spoilt.registry.spoil(spoilt.registry.layersOf(`hub/istio/proxyv2:${VERSION}`)[1] ?? "");
  await assert.rejects(spoilt.install(), {
    code: "ERR_COMPONENT",
    message:
      /istio 1\.29\.2 cannot be built: .*proxyv2:1\.29\.2@sha256:\w+ cannot be read: its blob sha256:\w+ does not match/,
  });
  await spoilt.assertUntouched();

  const mislabelled = await start(t, release("1.29.1"));
  await assert.rejects(mislabelled.install(), {
    code: "ERR_COMPONENT",
    message: /pilot-discovery of .*istio\/pilot:1\.29\.2@sha256:\w+ reports version 1\.29\.1, not 1\.29\.2/,
  });
  await mislabelled.assertUntouched();

  const foreign = await start(t, [...release().slice(1), { ...(release()[0] as TestImage), architecture: "s390x" }]);
  await assert.rejects(foreign.install(), {
    code: "ERR_COMPONENT",
    message: /for linux\/riscv64, linux\/s390x, not for/,
  });
  await foreign.assertUntouched();

  const broken = await start(t, [
    ...release().slice(1),
    { name: `hub/istio/pilot:${VERSION}`, files: { "/usr/local/bin/pilot-discovery": Buffer.from("\x7fELF") } },
  ]);
  await assert.rejects(broken.install(), { code: "ERR_COMPONENT", message: /pilot-discovery of .* does not run here/ });
  await broken.assertUntouched();

  const missing = await start(t, release().slice(1));
  await assert.rejects(missing.install(), {
    message: /istio\/pilot:1\.29\.2 cannot be read: the registry answers 404/,
  });
  await missing.registry[Symbol.asyncDispose]();
  await assert.rejects(missing.install(), { hint: "a hint", message: /cannot be reached: .*ECONNREFUSED/ });
  await missing.assertUntouched();
});

test("the version is that of the client's build information", () => {
  assert.equal(saidVersion('{"clientVersion":{"version":"1.29.2","revision":"a"}}'), "1.29.2");
  for (const text of ["", "1.29.2", "{}", "null", '{"clientVersion":{"version":1}}'])
    assert.equal(saidVersion(text), undefined);
});

test("what a cluster is made of: the first mesh's programs, Istio's own Envoy only where it is meant", () => {
  const component = (name: string, version: string, ...programs: string[]): InstalledComponent => ({
    ...{ name, version, programs, source: "", digest: `sha256:${name}`, bytes: 0, builtAt: "", details: {} },
    dir: `/${name}-${version}`,
  });
  const own = { envoy: "1.37.3-dev", "envoy digest": "sha256:own", "Istio's own filters": "yes" };
  const wheel = component("envoy", "1.40.0", "envoy");
  const released = { ...component("istio", "1.29.2", "envoy", "pilot-agent"), details: own };
  const built = component("istio", "1.31.0", "pilot-agent");
  const theirs = { istio: "1.29.2", envoy: undefined };
  const ours = { istio: "1.31.0", envoy: "1.40.0" };

  const upgrade = installedOf([wheel, released, built], [theirs, ours]);
  assert.equal(upgrade.bin("envoy"), "/istio-1.29.2/bin/envoy");
  assert.equal(upgrade.bin("pilot-agent"), "/istio-1.29.2/bin/pilot-agent");
  assert.deepEqual(upgrade.meshes, [
    { choice: theirs, versions: { istio: "1.29.2", envoy: "1.37.3-dev" }, upstreamEnvoy: false },
    { choice: ours, versions: ours, upstreamEnvoy: true },
  ]);
  assert.equal(installedOf([wheel, built, released], [ours, theirs]).bin("envoy"), "/envoy-1.40.0/bin/envoy");

  const mixed = installedOf([wheel, released], [{ istio: "1.29.2", envoy: "1.40.0" }]);
  assert.equal(mixed.bin("envoy"), "/envoy-1.40.0/bin/envoy");
  assert.deepEqual(
    mixed.components.filter(({ programs }) => programs.includes("envoy")),
    [wheel],
  );
  assert.equal(mixed.meshes[0]?.upstreamEnvoy, true);
  const bare = { ...released, details: { ...own, "Istio's own filters": "no" } };
  assert.equal(installedOf([bare], [theirs]).meshes[0]?.upstreamEnvoy, true);
});

test("a digest of an image that is not used is refused, before anything is asked for", async () => {
  const digests = { "istio/pilot:1.29.3": `sha256:${"0".repeat(64)}` };
  const ensure = (istio: string) =>
    ensureComponents({ progress: () => undefined, meshes: [{ istio, envoy: "1.40.0" }], images: { digests } });
  await assert.rejects(ensure("1.29.2"), { code: "ERR_USAGE", hint: /docker\.io\/istio\/pilot:1\.29\.2, / });
  await assert.rejects(ensure("1.31.0"), { code: "ERR_USAGE", hint: /docker\.io\/istio\/pilot:1\.31\.0, / });
});

test("releases in the cache are listed, and cleaned once no tag has their digest", async (t) => {
  const { registry, cache, install } = await start(t);
  t.after(useCache(cache));
  const old = await install();
  const listed = async () => (await listComponents({ verify: true })).filter(({ version }) => version === VERSION);
  assert.deepEqual(
    (await listed()).map(({ name, state, digest }) => [name, state, digest]),
    [["istio", "present", old.digest]],
  );
  assert.deepEqual(await cleanComponents(), ["logs"]);
  await appendFile(join(old.dir, "bin/pilot-agent"), "x");
  assert.deepEqual(
    (await listed()).map(({ state }) => state),
    ["corrupt"],
  );
  await registry.push({
    name: `hub/istio/istioctl:${VERSION}`,
    files: { "/usr/local/bin/istioctl": Buffer.concat([says(VERSION), Buffer.from("# another\n")]) },
  });
  const fresh = await install({ refresh: true });
  const removed = await cleanComponents();
  assert.deepEqual(removed.sort(), [`components/${basename(dirname(old.dir))}`, "logs"]);
  assert.equal((await install()).dir, fresh.dir);
});
