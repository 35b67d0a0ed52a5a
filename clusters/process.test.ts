import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import type { Writable } from "node:stream";
import { test } from "node:test";
import { lifeOf, startOf, thisProcess, type ProcessIdentity } from "./process.ts";

const own = thisProcess() as ProcessIdentity;

test("this process lives, and one of the same number that began at another time does not", () => {
  assert.equal(lifeOf(own), "alive");
  assert.equal(lifeOf({ ...own, started: "earlier" }), "dead");
});

test("a process that has ended is dead", async () => {
  const child = spawn("true");
  const { pid = 0 } = child;
  await once(child, "close");
  assert.equal(lifeOf({ ...own, pid, started: "then" }), "dead");
});

test("one that has ended and is not collected is dead", async () => {
  // The shell's child ends on request, and the program that replaced the shell never reaps it.
  const parent = spawn("sh", ["-c", "sh -c 'echo $$; read line' <&3 & exec sleep 60"], {
    stdio: ["ignore", "pipe", "ignore", "pipe"],
  });
  const [line] = (await once(parent.stdout ?? assert.fail(), "data")) as [Buffer];
  const pid = Number(line.toString());
  const started = startOf(pid) ?? assert.fail("it does not live");
  assert.equal(lifeOf({ ...own, pid, started }), "alive");
  (parent.stdio[3] as Writable).end("\n");
  while (startOf(pid) !== undefined) await new Promise((resolve) => setImmediate(resolve));
  assert.ok(existsSync(`/proc/${pid}/stat`), "it is still there");
  assert.equal(lifeOf({ ...own, pid, started }), "dead");
  parent.kill();
  await once(parent, "close");
});

test("a process of another machine or PID namespace is not known", () => {
  assert.equal(lifeOf({ ...own, host: "another" }), "unknown");
  assert.equal(lifeOf({ ...own, pid: 0 }), "unknown");
});
