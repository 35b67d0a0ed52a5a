import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { execa } from "execa";

/** A version above any Node's: makes the launcher look for the Node in node_modules. */
const TOO_NEW = 9999;

describe("the launcher, if Node is too old", () => {
  const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
  after(() => rmSync(folder, { recursive: true }));

  function launch(program: string, ...args: string[]) {
    const file = path.join(folder, "program.ts");
    writeFileSync(file, program);
    const launcher = JSON.stringify(path.join(import.meta.dirname, "node24.mjs"));
    const script = `(await import(${launcher})).runOnNode24(${JSON.stringify(file)}, process.argv.slice(1), ${TOO_NEW})`;
    return execa(process.execPath, ["--input-type=module", "--eval", script, "--", ...args], { reject: false });
  }

  it("passes arguments and standard input on, and returns the program's output and exit code", async () => {
    const program = launch(
      `process.stdin.pipe(process.stdout); process.stdin.on("end", () => { console.log(process.argv.slice(2).join()); process.exitCode = 7 as number; });`,
      "a",
      "--b",
    );
    program.stdin.end("typed\n");
    const { stdout, exitCode } = await program;
    assert.equal(stdout, "typed\na,--b");
    assert.equal(exitCode, 7);
  });

  it("passes signals on", async () => {
    const program = launch(
      `process.on("SIGTERM", () => { console.log("told"); process.exit(130); }); setInterval(() => {}, 1e6); console.log("ready");`,
    );
    await once(program.stdout, "data");
    process.kill(program.pid ?? 0, "SIGTERM");
    const { stdout, exitCode } = await program;
    assert.equal(stdout, "ready\ntold");
    assert.equal(exitCode, 130);
  });

  it("reports a program's death by a signal like a shell", async () => {
    const { exitCode } = await launch(`process.kill(process.pid, "SIGKILL");`);
    assert.equal(exitCode, 128 + 9);
  });
});
