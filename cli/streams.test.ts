import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, watch, writeFileSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-streams-"));
after(() => rmSync(folder, { recursive: true }));

/** A command that works until it is interrupted, and then needs a moment to put things in order, talking all the time. */
const WORKING = path.join(folder, "working.ts");
writeFileSync(
  WORKING,
  `import { writeFileSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { explain } from ${JSON.stringify(path.join(import.meta.dirname, "explain.ts"))};
import { guardStreams, leave } from ${JSON.stringify(path.join(import.meta.dirname, "streams.ts"))};
import { work } from ${JSON.stringify(path.join(import.meta.dirname, "work.ts"))};
guardStreams();
const [, , cleaned = "", begun] = process.argv;
const end = work(async ({ progress, signal }) => {
  progress("working");
  if (begun !== undefined) {
    writeFileSync(begun, "");
    for (let i = 0; !signal.aborted; i++) {
      progress("working " + i);
      await delay(10);
    }
  }
  for (let i = 0; i < 5; i++) {
    progress("removing " + i);
    console.log("said while removing");
    await delay(10);
  }
  writeFileSync(cleaned, "");
  signal.throwIfAborted();
  console.log("the result");
  return 0;
});
await end.then(leave, (error) => leave(explain(error)));
`,
);

const appears = async (name: string): Promise<string> => {
  const file = path.join(folder, name);
  const watcher = watch(folder);
  try {
    for (;;) {
      const text = await readFile(file, "utf8").catch(() => undefined);
      if (text !== undefined && (text !== "" || !name.startsWith("code"))) return text;
      await once(watcher, "change");
    }
  } finally {
    watcher.close();
  }
};

test("a terminal that is closed ends the work as ctrl-C does", async () => {
  const [cleaned, begun, code] = ["cleaned-1", "begun-1", "code-1"].map((name) => path.join(folder, name));
  // script(1) gives it a terminal, which is gone with script. Like a login shell, this one passes the hangup on.
  const command = `'${process.execPath}' '${WORKING}' '${cleaned}' '${begun}' & trap "kill -HUP $!" HUP
    while wait $!; code=$?; kill -0 $! 2>/dev/null; do :; done; echo $code > '${code}'`;
  const script = spawn("script", ["-qec", command, "/dev/null"], { stdio: ["pipe", "ignore", "ignore"] });
  await appears("begun-1");
  script.kill("SIGKILL");
  assert.equal((await appears("code-1")).trim(), "130");
  await appears("cleaned-1");
});

test("a log on a full disk ends nothing", async () => {
  const cleaned = path.join(folder, "cleaned-2");
  const { exitCode, stdout } = await execa({
    reject: false,
    shell: true,
  })`${process.execPath} ${WORKING} ${cleaned} 2>/dev/full`;
  assert.equal(exitCode, 0);
  assert.match(stdout, /the result/);
  await appears("cleaned-2");
});

test("output that cannot be written fails the command, after its work", async () => {
  const cleaned = path.join(folder, "cleaned-3");
  const { exitCode, stderr } = await execa({
    reject: false,
    shell: true,
  })`${process.execPath} ${WORKING} ${cleaned} >/dev/full`;
  assert.equal(exitCode, 3);
  assert.match(stderr, /error: the output could not be written: ENOSPC/);
  await appears("cleaned-3");
});

test("a reader that has enough is no error", async () => {
  const cleaned = path.join(folder, "cleaned-4");
  const { stdout } = await execa({
    shell: "/bin/bash",
  })`set -o pipefail; ${process.execPath} ${WORKING} ${cleaned} | true; echo $\{PIPESTATUS[0]}`;
  assert.match(stdout, /^0$/m);
  await appears("cleaned-4");
});
