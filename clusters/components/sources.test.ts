import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { ensureEntry } from "./entry.ts";
import { imageRecipe } from "./images.ts";
import type { Component } from "./list.ts";
import type { Recipe } from "./recipe.ts";
import { startRegistry } from "./registry/registry.fixture.ts";
import { chooseSources, type SourceOptions } from "./sources.ts";
import { sourceFrom } from "./ways.ts";

const recipe = (name: string): Recipe => ({
  ...{ name, version: "1", source: "here", effort: "1 program, about 1 min" },
  inputs: () => Promise.resolve(["built"]),
  build: () => Promise.resolve({}),
});

/** Two components that are published and can be built, one that can be built alone, and one that is published alone. */
const component = (name: string): Component => ({
  ...{ name, source: recipe(name) },
  images: {
    ...{ name, version: "1", effort: "a download" },
    images: [{ name: `registry.example/${name}:1`, files: { [`bin/${name}`]: [name] } }],
  },
});
const [A, B] = [component("a"), component("b")];
const BUILT: Component = { name: "built", source: recipe("built") };
const { source: _, ...PUBLISHED } = component("published");

async function start(t: TestContext, names: readonly string[] = ["a", "b", "published"]) {
  const registry = await startRegistry(
    names.map((name) => ({ name: `hub/${name}:1`, files: { [`/${name}`]: Buffer.from(name) } })),
  );
  t.after(() => registry[Symbol.asyncDispose]());
  const cache = await mkdtemp(join(tmpdir(), "meshproof-sources-"));
  t.after(() => rm(cache, { recursive: true }));
  const told: string[] = [];
  const choose = async (components: readonly Component[], more: Partial<SourceOptions> = {}) => {
    const options = { source: "auto", cache, hint: "a hint", progress: (line: string) => told.push(line) } as const;
    const chosen = await chooseSources(components, { ...options, places: { mirror: `${registry.host}/hub` }, ...more });
    return chosen.map(({ component, from }) => `${component.name} ${from}`);
  };
  return { registry, cache, told, choose };
}

test("images come before a build, which is what there is where nothing is published", async (t) => {
  const { told, choose } = await start(t);
  assert.deepEqual(await choose([A, BUILT, PUBLISHED]), ["a images", "built source", "published images"]);
  assert.deepEqual(await choose([A, BUILT], { source: "source" }), ["a source", "built source"]);
  assert.deepEqual(told, []);
});

test("an image that a registry does not have is built here, the others are not", async (t) => {
  const { told, choose } = await start(t, ["b"]);
  assert.deepEqual(await choose([A, B]), ["a source", "b images"]);
  assert.equal(told.length, 1);
  assert.match(
    told[0] ?? "",
    /^built from source: a \(1 program, about 1 min\), since the digest of \S+a:1 cannot be read: the registry answers 404/,
  );
  await assert.rejects(choose([A], { source: "images" }), /the registry answers 404/);
});

test("of registries that cannot be reached one is asked, and one line says what is built", async (t) => {
  const { registry, told, choose } = await start(t);
  await registry[Symbol.asyncDispose]();
  assert.deepEqual(await choose([A, B, BUILT]), ["a source", "b source", "built source"]);
  assert.equal(told.length, 1);
  assert.match(told[0] ?? "", /^built from source: a \(.*\), b \(.*\), since .* cannot be reached: /);
  await assert.rejects(choose([PUBLISHED]), /cannot be reached/);
});

test("what the cache has is used without asking, built or out of images", async (t) => {
  const { registry, cache, choose } = await start(t);
  await ensureEntry(recipe("a"), { cache, progress: () => undefined });
  assert.deepEqual(await choose([A]), ["a source"]);
  assert.equal(registry.asked.length, 0);
  assert.deepEqual(await choose([A], { refresh: true }), ["a images"]);
  const { images } = B;
  const options = { cache, hint: "", places: { mirror: `${registry.host}/hub` } };
  await ensureEntry(await imageRecipe(images ?? assert.fail(), options), { cache, progress: () => undefined });
  await registry[Symbol.asyncDispose]();
  assert.deepEqual(await choose([A, B]), ["a source", "b images"]);
});

test("an image whose digest is demanded is not replaced by a build", async (t) => {
  const { registry, cache, choose } = await start(t);
  await ensureEntry(recipe("a"), { cache, progress: () => undefined });
  const digests = { "registry.example/a:1": registry.digestOf("hub/a:1") };
  assert.deepEqual(await choose([A], { places: { mirror: `${registry.host}/hub`, digests } }), ["a images"]);
});

test("the environment's way is one of three", () => {
  assert.equal(sourceFrom({}), "auto");
  assert.equal(sourceFrom({ MESHPROOF_COMPONENTS: "source" }), "source");
  assert.throws(() => sourceFrom({ MESHPROOF_COMPONENTS: "image" }), {
    code: "ERR_USAGE",
    hint: /auto, images, source/,
  });
});
