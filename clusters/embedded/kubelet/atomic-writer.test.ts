import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { writeAtomically } from "./atomic-writer.ts";
import type { Payload } from "./payload.ts";

describe("a volume's files", () => {
  let dir = "";
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), "atomic-writer-"));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  function payload(files: Record<string, string>, mode = 0o644): Payload {
    return new Map(Object.entries(files).map(([path, text]) => [path, { data: Buffer.from(text), mode }]));
  }

  function read(path: string): string {
    return readFileSync(join(dir, path), "utf8");
  }

  test("files appear under their names, behind one link that is swapped", () => {
    assert.equal(writeAtomically(dir, payload({ a: "1", "deep/b": "2" }), undefined), true);
    assert.equal(read("a"), "1");
    assert.equal(read("deep/b"), "2");
    assert.equal(readlinkSync(join(dir, "a")), "..data/a");
    assert.equal(readlinkSync(join(dir, "deep")), "..data/deep");
    assert.match(readlinkSync(join(dir, "..data")), /^\.\.\d{4}_\d\d_\d\d_\d\d_\d\d_\d\d\./);
  });

  test("a change replaces all of it and leaves nothing behind", () => {
    writeAtomically(dir, payload({ a: "1", gone: "x" }), undefined);
    const before = readlinkSync(join(dir, "..data"));
    assert.equal(writeAtomically(dir, payload({ a: "2", new: "3" }), undefined), true);
    assert.equal(read("a"), "2");
    assert.equal(read("new"), "3");
    assert.equal(existsSync(join(dir, before)), false);
    assert.deepEqual(
      readdirSync(dir).filter((name) => !/^\.\.\d/.test(name)),
      ["..data", "a", "new"],
    );
  });

  test("the same payload again changes nothing", () => {
    writeAtomically(dir, payload({ a: "1" }), undefined);
    const before = readlinkSync(join(dir, "..data"));
    assert.equal(writeAtomically(dir, payload({ a: "1" }), undefined), false);
    assert.equal(readlinkSync(join(dir, "..data")), before);
    assert.equal(writeAtomically(dir, payload({ a: "1" }, 0o600), undefined), true);
    assert.equal(statSync(join(dir, "a")).mode & 0o777, 0o600);
  });

  test("a directory that another volume is mounted on stays", () => {
    writeAtomically(dir, payload({ a: "1" }), undefined);
    mkdirSync(join(dir, "mount-point"));
    writeAtomically(dir, payload({ b: "1" }), undefined);
    assert.deepEqual(
      readdirSync(dir).filter((name) => !name.startsWith("..")),
      ["b", "mount-point"],
    );
  });

  test("the group may read what a mode would not let it", () => {
    // Files can be given to one's own group without being root.
    writeAtomically(dir, payload({ a: "1" }, 0o600), process.getgid?.());
    assert.equal(statSync(join(dir, "a")).mode & 0o777, 0o640);
  });
});
