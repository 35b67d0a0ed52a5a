import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { openBundle } from "./bundle.ts";

const root = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(root, { recursive: true }));
const redact = (text: string) => text.replaceAll("secret", "[gone]");
const read = (...names: string[]) => readFileSync(path.join(root, ...names), "utf8");

describe("a bundle of diagnostics", () => {
  it("contains the files that were read, without secrets, and lists those that could not be", async () => {
    const bundle = openBundle({ root, folder: "a/1", redact });
    await bundle.add("one.txt", () => Promise.resolve("a secret"));
    await bundle.add("two.txt", () => Promise.reject(new Error("refused: secret")));
    await bundle.add("nowhere/three.txt", () => Promise.resolve("x"));
    await bundle.close("what failed, secret");
    assert.equal(read("a/1", "one.txt"), "a [gone]");
    const collected = read("a/1", "collected.txt");
    assert.match(collected, /^what failed, \[gone\]$/m);
    assert.match(collected, /^one\.txt: 8 bytes$/m);
    assert.match(collected, /^two\.txt: not there, refused: \[gone\]$/m);
    assert.match(collected, /^nowhere\/three\.txt: not there, ENOENT/m);
  });

  it("redacts before it cuts, and keeps the end", async () => {
    const bundle = openBundle({ root, folder: "b/1", redact, fileLimit: 10 });
    await bundle.add("log.txt", () => Promise.resolve("x".repeat(50) + "secret123456"));
    await bundle.close("");
    assert.equal(read("b/1", "log.txt"), "[the last 10 of 62 bytes]\none]123456");
  });

  it("stops at the limit of the run", async () => {
    const bundle = openBundle({ root: path.join(root, "c"), folder: "1", redact, runLimit: 10 });
    await Promise.all([
      bundle.add("a.txt", () => Promise.resolve("12345678")),
      bundle.add("b.txt", () => Promise.resolve("12345678")),
    ]);
    await bundle.close("");
    assert.deepEqual(readdirSync(path.join(root, "c", "1")), ["a.txt", "collected.txt"]);
    assert.match(read("c/1", "collected.txt"), /^b\.txt: left out, .* have reached 10 bytes$/m);
  });

  it("does not wait for a read that never ends", async () => {
    const bundle = openBundle({ root, folder: "d/1", redact, limitMs: 1 });
    await bundle.add("slow.txt", () => new Promise(() => undefined));
    await bundle.close("");
    assert.match(read("d/1", "collected.txt"), /^slow\.txt: not there, it took too long$/m);
  });
});
