import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { compileAll, type CompileOptions } from "./compile.ts";
import { compilerLimits } from "./go.ts";
import type { Recipe } from "./recipe.ts";

describe("a build from source", () => {
  let cache: string;
  let told: string[];

  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), "meshproof-compile-"));
    told = [];
  });
  afterEach(() => rm(cache, { recursive: true, force: true }));

  /** Leaves a folder that is read-only in Go's caches, as Go does. */
  function recipe(name: string, build: () => Promise<void> = () => Promise.resolve()): Recipe {
    return {
      ...{ name, version: "1", source: "a test", effort: "at once" },
      inputs: () => Promise.resolve([]),
      download: () => Promise.resolve(void told.push(`${name} downloaded`)),
      async build() {
        told.push(`${name} built`);
        await build();
        const module = join(cache, "go/mod/example.org@v1");
        await mkdir(module, { recursive: true });
        await writeFile(join(module, `${name}.go`), "");
        await chmod(module, 0o755);
        return {};
      },
    };
  }

  const options = (more: Partial<CompileOptions> = {}): CompileOptions => ({
    cache,
    progress: () => undefined,
    ...more,
  });
  const hasCaches = (): boolean => existsSync(join(cache, "go"));

  test("sources are downloaded while the first is compiled, and nothing of the compiler's is kept", async () => {
    const first = recipe("a", async () => {
      while (!told.includes("c downloaded")) await new Promise((resolve) => setTimeout(resolve, 1));
    });
    const built = await compileAll([first, recipe("b"), recipe("c")], options());
    assert.deepEqual(
      built.map(({ name }) => name),
      ["a", "b", "c"],
    );
    assert.deepEqual(
      told.filter((line) => line.endsWith("built")),
      ["a built", "b built", "c built"],
    );
    assert.ok(told.indexOf("c downloaded") < told.indexOf("b built"));
    assert.equal(hasCaches(), false);
    await compileAll([first, recipe("b")], options());
    assert.equal(told.length, 5);
  });

  test("Go's caches stay where they are wanted, and after a build that failed", async () => {
    await compileAll([recipe("a")], options({ keepGoCaches: true }));
    assert.equal(hasCaches(), true);
    const bad = recipe("bad", () => Promise.reject(new Error("no")));
    await assert.rejects(compileAll([bad, recipe("c")], options()), /bad 1 cannot be built: no/);
    assert.equal(hasCaches(), true);
    await compileAll([recipe("d")], options());
    assert.equal(hasCaches(), false);
  });

  test("another process that compiles is waited for", async () => {
    const lines: string[] = [];
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => (release = resolve));
    const first = compileAll([recipe("a", () => held)], options());
    while (!told.includes("a built")) await new Promise((resolve) => setTimeout(resolve, 5));
    const second = compileAll([recipe("b")], options({ progress: (line) => void lines.push(line) }));
    while (lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.match(lines.join("\n"), /waiting for another meshproof \(process \d+\) to compile …/);
    assert.ok(!told.includes("b built"));
    release();
    await Promise.all([first, second]);
    assert.ok(told.includes("b built"));
  });

  test("compilers are as many as the cores and the memory bear, and the user's settings go before", () => {
    const gib = 1024 ** 3;
    assert.deepEqual(compilerLimits(2, 24 * gib, {}), {
      processes: 2,
      env: { GOGC: "800", GOMEMLIMIT: "9830MiB", GOMAXPROCS: "1" },
    });
    assert.deepEqual(compilerLimits(2, 3 * gib, {}).env.GOMEMLIMIT, "1228MiB");
    assert.equal(compilerLimits(2, 2 * gib, {}).processes, 1);
    assert.equal(compilerLimits(2, 0.5 * gib, {}).processes, 1);
    assert.deepEqual(compilerLimits(16, 64 * gib, {}).env.GOMAXPROCS, undefined);
    const own = { GOGC: "50", GOMEMLIMIT: "1GiB", GOMAXPROCS: "2" };
    assert.deepEqual(compilerLimits(2, 24 * gib, own).env, own);
  });
});
