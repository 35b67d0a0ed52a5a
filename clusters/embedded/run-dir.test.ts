import assert from "node:assert/strict";
import { chmod, mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import {
  claim,
  findRunDir,
  readHolder,
  removeRunDir,
  runDirNames,
  runDirOf,
  sweep,
  sweepDead,
  writeHolder,
} from "./run-dir.ts";

describe("the folder of a cluster", () => {
  let parent: string;
  let base: string;
  beforeEach(async () => {
    parent = await mkdtemp(join(tmpdir(), "mp-"));
    base = join(parent, "base");
  });
  afterEach(() => rm(parent, { recursive: true, force: true }));

  test("a name is a short DNS label", () => {
    assert.equal(runDirOf("run-1", base).path, join(base, "run-1"));
    for (const name of ["", "..", "a/b", "A", "-a", "a-", "a".repeat(33)])
      assert.throws(() => runDirOf(name, base), { code: "ERR_USAGE" });
  });

  test("a claim excludes a second one, and its release allows it", async () => {
    const dir = runDirOf("one", base);
    const first = await claim(dir);
    assert.ok(first);
    assert.equal(await claim(dir), undefined);
    const other = await claim(runDirOf("two", base));
    assert.ok(other);
    first.release();
    const second = await claim(dir);
    assert.ok(second);
    second.release();
    other.release();
  });

  test("a claim that waits creates the folder again if its holder has removed it", async () => {
    const dir = runDirOf("one", base);
    const first = await claim(dir);
    assert.ok(first);
    const waiting = claim(dir, 10);
    await removeRunDir(first.dir);
    first.release();
    const second = await waiting;
    assert.ok(second);
    assert.equal(await claim(dir), undefined);
    second.release();
  });

  test("sweeping removes the files of a dead cluster, and keeps the lock", async () => {
    const dir = runDirOf("one", base);
    const held = await claim(dir);
    assert.ok(held);
    await mkdir(dir.logs);
    await writeFile(join(dir.logs, "etcd.log"), "old");
    await writeFile(dir.kubeconfig, "old");
    await sweep(held.dir);
    assert.deepEqual(await readdir(dir.path), ["lock"]);
    held.release();
  });

  test("removing the last folder removes the base folder, and not before", async () => {
    for (const name of ["one", "two"]) (await claim(runDirOf(name, base)))?.release();
    assert.deepEqual((await runDirNames(base)).sort(), ["one", "two"]);
    for (const name of ["one", "two"]) {
      const dir = findRunDir(name, base);
      assert.ok(dir);
      await removeRunDir(dir);
      assert.deepEqual(await runDirNames(base), name === "one" ? ["two"] : []);
    }
    assert.deepEqual(await readdir(parent), []);
  });

  test("a folder that others may enter, or that is a link, is refused", async () => {
    await mkdir(base, { mode: 0o700 });
    await chmod(base, 0o755);
    const open = { code: "ERR_FOREIGN_FILE", message: /open to others: its mode is 0755/ };
    await assert.rejects(claim(runDirOf("one", base)), open);
    await assert.rejects(runDirNames(base), open);
    assert.throws(() => findRunDir("one", base), open);
    await chmod(base, 0o700);
    await mkdir(join(parent, "elsewhere"), { mode: 0o700 });
    await symlink(join(parent, "elsewhere"), join(base, "linked"));
    const link = { code: "ERR_FOREIGN_FILE", message: /is a link/ };
    await assert.rejects(claim(runDirOf("linked", base)), link);
    assert.throws(() => findRunDir("linked", base), link);
  });

  test("a path too long for a socket is refused with a hint", async () => {
    const deep = join(parent, "x".repeat(100));
    await assert.rejects(claim(runDirOf("one", deep)), { code: "ERR_CLUSTER_START", hint: /TMPDIR/ });
  });

  test("folders of dead clusters are swept; those that live or are about to start are not", async () => {
    for (const name of ["dead", "alive", "starting"]) {
      const held = await claim(runDirOf(name, base));
      if (name !== "starting") await mkdir(runDirOf(name, base).logs);
      if (name !== "alive") held?.release();
    }
    await sweepDead(base);
    assert.deepEqual((await runDirNames(base)).sort(), ["alive", "starting"]);
  });

  test("the holder of a lock is known only while it is the cluster's own", async () => {
    const dir = runDirOf("one", base);
    const held = await claim(dir);
    assert.ok(held);
    assert.equal(await readHolder(held.dir), undefined);
    writeHolder(held, process.pid);
    assert.equal(await readHolder(held.dir), undefined);
    held.release();
  });
});
