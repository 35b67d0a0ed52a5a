import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { test } from "node:test";
import { SETTINGS_VARIABLE } from "./settings.ts";

/** More than any pipe holds. */
const SIZE = 4_000_000;

test("a result arrives whole although its sender ends at once and this process is slow to read", async () => {
  const source = `
    import { tellParentWhole } from ${JSON.stringify(import.meta.resolve("./parent.ts"))};
    process.stdout.write("sending\\n");
    await tellParentWhole({ kind: "note", text: "x".repeat(${SIZE}) });
    process.exit(0);
  `;
  const child = spawn(process.execPath, ["--input-type=module", "--eval", source], {
    stdio: ["ignore", "pipe", "inherit", "ipc"],
    env: { ...process.env, [SETTINGS_VARIABLE]: "1" },
  });
  const got = new Promise<number>((resolve) => {
    child.on("message", (told: { readonly text: string }) => resolve(told.text.length));
    child.on("close", () => resolve(0));
  });
  await new Promise((resolve) => child.stdout?.once("data", resolve));
  // The pipe is full, and nobody reads it.
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 500);
  assert.equal(await got, SIZE);
});
