import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readFile, readdir, rm, stat, symlink, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterEach, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { execa } from "execa";

import { MeshproofError } from "../../harness/model/errors.ts";
import { ensureEntry, entryName, formatSeconds, inspectEntry, recordVerified } from "./entry.ts";
import type { Recipe, Workshop } from "./recipe.ts";

describe("an entry of the cache", () => {
  let cache: string;
  let lines: string[];

  beforeEach(async () => {
    cache = await mkdtemp(join(tmpdir(), "meshproof-entry-"));
    lines = [];
  });
  afterEach(() => rm(cache, { recursive: true, force: true }));

  const progress = (line: string) => void lines.push(line);

  async function hello({ files }: Workshop) {
    await mkdir(join(files, "bin"));
    await writeFile(join(files, "bin", "hello"), "#!/bin/sh\necho hello\n", { mode: 0o700 });
    await writeFile(join(files, "readme"), "a word\n", { mode: 0o600 });
    return { compiler: "none" };
  }

  function recipe(build: Recipe["build"] = hello, inputs: string[] = []): Recipe {
    return { name: "fake", version: "1", source: "a test", effort: "at once", inputs: async () => inputs, build };
  }

  const ensure = (made = recipe(), signal?: AbortSignal) => ensureEntry(made, { cache, progress, signal });
  const leftovers = async () => (await readdir(join(cache, "components"))).filter((name) => name.startsWith(".fake"));

  test("a component is built once and then reused", async () => {
    const built = await ensure();
    assert.deepEqual(built.programs, ["hello"]);
    assert.deepEqual(built.details, { compiler: "none" });
    assert.match(built.digest, /^sha256:[0-9a-f]{64}$/);
    assert.equal(lines[0], "building fake 1 (at once) …");
    lines = [];
    const again = await ensure(recipe(() => Promise.reject(new Error("built twice"))));
    assert.deepEqual(again, built);
    assert.deepEqual(lines, []);
  });

  test("when all bytes were compared is kept with the component", async () => {
    const built = await ensure();
    assert.equal(built.verifiedAt, undefined);
    const verified = await recordVerified(cache, await entryName(recipe()), built);
    assert.ok(Date.parse(verified.verifiedAt ?? "") >= Date.parse(built.builtAt));
    assert.deepEqual(await ensure(), verified);
  });

  test("every pod's user can read and run the files, with any umask of the builder", async () => {
    const { dir } = await ensure();
    const { stdout } = await execa("stat", ["-c", "%a", dir, join(dir, "bin/hello"), join(dir, "readme")]);
    assert.equal(stdout, "755\n755\n644");
  });

  test("a component's folder is named without links, which a pod would follow below another root", async () => {
    const links = await mkdtemp(join(tmpdir(), "meshproof-links-"));
    const linked = join(links, "cache");
    await symlink(cache, linked);
    for (const state of ["built", "found"]) {
      const { dir } = await ensureEntry(recipe(), { cache: linked, progress });
      assert.ok(dir.startsWith(`${cache}/`), `${state}: ${dir}`);
    }
    await rm(links, { recursive: true });
  });

  test("other inputs are another entry", async () => {
    assert.notEqual(await entryName(recipe(hello, ["a"])), await entryName(recipe(hello, ["b"])));
    assert.equal(await entryName(recipe(hello, ["a"])), await entryName(recipe(hello, ["a"])));
  });

  test("damage is found and the component built again", async (t) => {
    const damages: Record<string, (dir: string) => Promise<unknown>> = {
      "readme has 5 bytes, had 7": (dir) => writeFile(join(dir, "readme"), "no wo"),
      "readme has other content": (dir) => writeFile(join(dir, "readme"), "b word\n"),
      "readme is missing": (dir) => rm(join(dir, "readme")),
      "extra does not belong there": (dir) => writeFile(join(dir, "extra"), ""),
      "bin/hello is a file, was a program": (dir) => chmod(join(dir, "bin/hello"), 0o644),
      "its description is not JSON": (dir) => writeFile(join(dir, "../component.json"), "{"),
      "its description is missing": (dir) => rm(join(dir, "../files.json")),
    };
    for (const [damage, inflict] of Object.entries(damages))
      await t.test(damage, async () => {
        const { dir, digest } = await ensure();
        await inflict(dir);
        lines = [];
        assert.equal((await ensure()).digest, digest);
        assert.equal(lines[0], `fake 1 in the cache is damaged (${damage}); building it again`);
        assert.equal(await readFile(join(dir, "readme"), "utf8"), "a word\n");
      });
  });

  test("a copied cache, whose times differ, is still good and gets its times back", async () => {
    const { dir } = await ensure();
    const file = join(dir, "readme");
    const before = Math.floor((await stat(file)).mtimeMs);
    await utimes(file, 1, 1);
    assert.equal((await inspectEntry(cache, await entryName(recipe()))).state, "present");
    assert.equal(Math.floor((await stat(file)).mtimeMs), before);
  });

  test("content that changed behind an unchanged size and time is found by a full look only", async () => {
    const { dir } = await ensure();
    const file = join(dir, "readme");
    const before = (await execa("stat", ["-c", "%.9Y", file])).stdout;
    await writeFile(file, "b word\n");
    await execa("touch", ["-d", `@${before}`, file]);
    const name = await entryName(recipe());
    assert.equal((await inspectEntry(cache, name)).state, "present");
    assert.deepEqual(await inspectEntry(cache, name, true), {
      state: "corrupt",
      damage: "readme has other content",
    });
  });

  test("a digest that is not that of the files is found by a full look", async () => {
    const { dir } = await ensure();
    const file = join(dir, "../component.json");
    const text = await readFile(file, "utf8");
    await writeFile(file, text.replace(/sha256:[0-9a-f]{64}/, `sha256:${"0".repeat(64)}`));
    const name = await entryName(recipe());
    assert.equal((await inspectEntry(cache, name)).state, "present");
    const found = await inspectEntry(cache, name, true);
    assert.match(
      found.state === "corrupt" ? found.damage : "",
      /^its digest is sha256:\w+, not sha256:0+ as in its description$/,
    );
  });

  test("a component that another user may write to is damaged, and another user's cache is refused", async () => {
    const { dir } = await ensure();
    const name = await entryName(recipe());
    await chmod(join(dir, "readme"), 0o666);
    assert.deepEqual(await inspectEntry(cache, name), {
      state: "corrupt",
      damage: "readme may be written by others (mode 0666)",
    });
    await chmod(join(dir, "readme"), 0o644);
    await chmod(join(dir, ".."), 0o777);
    assert.match(JSON.stringify(await inspectEntry(cache, name)), /may be written by others \(mode 0777\)/);
    await chmod(join(dir, ".."), 0o755);
    await chmod(join(cache, "components"), 0o777);
    await assert.rejects(ensure(), {
      code: "ERR_FOREIGN_FILE",
      message: /components is open to others: its mode is 0777/,
    });
  });

  test("a cache that cannot be read is said to be so", async () => {
    const file = join(cache, "file");
    await writeFile(file, "");
    await assert.rejects(ensureEntry(recipe(), { cache: file, progress }), {
      code: "ERR_COMPONENT",
      message: new RegExp(`^the cache ${file} cannot be read: ENOTDIR`),
    });
  });

  test("a failed build leaves nothing but its log, which the error names and quotes", async () => {
    const failing = recipe(async ({ run }) => {
      await run(["sh", "-c", "echo the reason >&2; exit 3"]);
      return {};
    });
    const error = await ensure(failing).catch((caught: unknown) => caught);
    assert.ok(error instanceof MeshproofError);
    assert.equal(error.code, "ERR_COMPONENT");
    assert.match(error.message, /^fake 1 cannot be built: sh failed \(exit status 3\)(.|\n)*\n {2}the reason$/);
    const log = error.hint?.replace("the whole log: ", "") ?? "";
    assert.match(await readFile(log, "utf8"), /the reason/);
    assert.deepEqual(await leftovers(), []);
    assert.equal((await inspectEntry(cache, await entryName(failing))).state, "missing");
  });

  test("a program that does not exist is reported as missing", async () => {
    const failing = recipe(async ({ run }) => ({ found: await run(["no-such-program"]) }));
    await assert.rejects(ensure(failing), { code: "ERR_MISSING_PROGRAM", message: /no-such-program is missing/ });
  });

  test("an aborted build ends its programs and leaves nothing", async () => {
    const abort = new AbortController();
    const endless = recipe(async ({ run }) => {
      setImmediate(() => abort.abort());
      await run(["sleep", "600"]);
      return {};
    });
    await assert.rejects(ensure(endless, abort.signal), { code: "ERR_INTERRUPTED" });
    assert.deepEqual(await leftovers(), []);
  });

  /** Another meshproof on the same cache; see entry.fixture.ts. */
  function startOther(options: { input: string; wait?: boolean; unprivileged?: boolean }): ChildProcess {
    // Root without capabilities obeys the permissions of files, as everybody else.
    const wrap =
      options.unprivileged && process.getuid?.() === 0 ? ["setpriv", "--bounding-set=-all", "--inh-caps=-all"] : [];
    const [command = "", ...args] = [
      ...wrap,
      process.execPath,
      fileURLToPath(import.meta.resolve("./entry.fixture.ts")),
    ];
    return spawn(command, [...args, cache, options.input, ...(options.wait ? ["wait"] : [])], {
      stdio: ["pipe", "pipe", "inherit"],
    });
  }

  async function firstLine({ stdout }: ChildProcess): Promise<string> {
    assert.ok(stdout);
    for await (const line of createInterface(stdout)) return line;
    return "";
  }

  test("a cache that cannot be written is used, and said to be so when something is missing", async () => {
    await ensure(recipe(hello, ["a"]));
    await execa("chmod", ["-R", "a-w", cache]);
    try {
      assert.equal(await firstLine(startOther({ input: "a", unprivileged: true })), "present");
      assert.equal(
        await firstLine(startOther({ input: "b", unprivileged: true })),
        `fake 1 is missing in the cache ${cache}, which this user cannot write`,
      );
    } finally {
      await execa("chmod", ["-R", "u+w", cache]);
    }
  });

  test("of two at once one builds, the other waits and says for whom", async () => {
    const other = startOther({ input: "a", wait: true });
    assert.equal(await firstLine(other), "building");
    let releaseOther = () => {};
    const waiting = new Promise<void>((resolve) => (releaseOther = resolve));
    const here = ensureEntry(
      recipe(() => Promise.reject(new Error("built twice")), ["a"]),
      { cache, progress: (line) => (progress(line), releaseOther()) },
    );
    await waiting;
    assert.deepEqual(lines, [`waiting for another meshproof (process ${other.pid}) to build fake 1 …`]);
    other.stdin?.end();
    assert.deepEqual((await here).programs, []);
  });

  test("a builder that was killed leaves no lock, and what it began is swept", async () => {
    const other = startOther({ input: "a", wait: true });
    assert.equal(await firstLine(other), "building");
    assert.equal((await leftovers()).length, 1);
    other.kill("SIGKILL");
    await once(other, "exit");
    assert.deepEqual((await ensure(recipe(hello, ["a"]))).programs, ["hello"]);
    assert.deepEqual(await leftovers(), []);
  });

  test("times are printed in minutes and seconds", () => {
    assert.equal(formatSeconds(59.6), "1 min 0 s");
    assert.equal(formatSeconds(5), "5 s");
    assert.equal(formatSeconds(185), "3 min 5 s");
  });
});
