import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { makeTempDir } from "./temp-dir.ts";

const MODULE = path.join(import.meta.dirname, "temp-dir.ts");
const make = (then: string) => [
  ...["--input-type=module", "--eval"],
  `import { makeTempDir } from ${JSON.stringify(MODULE)}; console.log(makeTempDir()); ${then}`,
];

test("a folder goes with its process, and is nobody else's to read", async () => {
  const { stdout } = await execa(process.execPath, make("await 0"));
  assert.match(stdout, /meshproof-run-/);
  assert.equal(existsSync(stdout), false);
  assert.equal(statSync(makeTempDir()).mode & 0o077, 0);
});

test("what kill -9 left goes with the next, what a living process has stays", async () => {
  const living = execa(process.execPath, make("setInterval(() => undefined, 1000)"), { reject: false });
  const [line] = (await once(living.stdout, "data")) as [Buffer];
  const kept = line.toString().trim();
  const dead = await execa(process.execPath, make("process.kill(process.pid, 'SIGKILL')"), { reject: false });
  const foreign = mkdtempSync(path.join(tmpdir(), "meshproof-runner-"));
  assert.equal(existsSync(dead.stdout), true, "it was left");
  makeTempDir();
  assert.deepEqual([dead.stdout, kept, foreign].map(existsSync), [false, true, true]);
  living.kill();
  await living;
  rmSync(foreign, { recursive: true });
  makeTempDir();
  assert.equal(existsSync(kept), false);
});
