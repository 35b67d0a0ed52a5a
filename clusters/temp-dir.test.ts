import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { test } from "node:test";
import { execa } from "execa";
import { processHost } from "./process.ts";
import { makeTempDir, tempPrefix } from "./temp-dir.ts";

const MODULE = path.join(import.meta.dirname, "temp-dir.ts");
const make = (then: string) => [
  ...["--input-type=module", "--eval"],
  `import { makeTempDir } from ${JSON.stringify(MODULE)}; console.log(makeTempDir()); ${then}`,
];

test("a folder is removed with its process, and other users cannot read it", async () => {
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

test("what a process of another machine, or of another PID namespace, has is never swept", () => {
  const [boot = "", namespace = ""] = (processHost() ?? "").split(" ");
  const prefixes = [tempPrefix(), tempPrefix(`another-boot ${namespace}`), tempPrefix(`${boot} pid:[1]`)];
  assert.equal(new Set(prefixes).size, 3);
  // Of no process that lives here.
  const folders = prefixes.map((prefix) => mkdtempSync(path.join(tmpdir(), `${prefix}4194303-1-`)));
  makeTempDir();
  assert.deepEqual(folders.map(existsSync), [false, true, true]);
  for (const folder of folders.slice(1)) rmSync(folder, { recursive: true });
});
