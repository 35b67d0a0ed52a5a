import assert from "node:assert/strict";
import { cp, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, test } from "node:test";
import { revisionOf } from "./revision.ts";

describe("the revision of scenarios", () => {
  let folder: string;
  before(async () => void (folder = await mkdtemp(path.join(tmpdir(), "meshproof-revision-"))));
  after(() => rm(folder, { recursive: true }));

  test("a folder's revision depends on its files, not on its path", async () => {
    const [one, two] = ["one", "two"].map((name) => path.join(folder, name)) as [string, string];
    await mkdir(path.join(one, "jwt/x"), { recursive: true });
    await writeFile(path.join(one, "jwt/x/scenario.yaml"), "a");
    await cp(one, two, { recursive: true });
    const revision = await revisionOf(one);
    assert.match(revision, /^[0-9a-f]{16}$/);
    assert.equal(await revisionOf(two), revision);
    await writeFile(path.join(two, "jwt/x/.scenario.yaml.swp"), "editor");
    assert.equal(await revisionOf(two), revision);
    await writeFile(path.join(two, "jwt/x/policy.yaml"), "");
    assert.notEqual(await revisionOf(two), revision);
    await writeFile(path.join(one, "jwt/x/scenario.yaml"), "b");
    assert.notEqual(await revisionOf(one), revision);
  });
});
