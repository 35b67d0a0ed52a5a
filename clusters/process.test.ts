import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { lifeOf, thisProcess, type ProcessIdentity } from "./process.ts";

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
  // The shell's child ends, and what became of the shell never collects it.
  const parent = spawn("sh", ["-c", "sh -c 'echo $$' & exec sleep 60"], { stdio: ["ignore", "pipe", "ignore"] });
  const [line] = (await once(parent.stdout, "data")) as [Buffer];
  const pid = Number(line.toString());
  const { startOf } = await import("./process.ts");
  const started = startOf(pid) ?? "";
  assert.notEqual(started, "");
  while (lifeOf({ ...own, pid, started }) === "alive") await new Promise((resolve) => setImmediate(resolve));
  assert.notEqual(startOf(pid), undefined, "it is still there");
  assert.equal(lifeOf({ ...own, pid, started }), "dead");
  parent.kill();
  await once(parent, "close");
});

test("of another machine or PID namespace nobody here knows", () => {
  assert.equal(lifeOf({ ...own, host: "another" }), "unknown");
  assert.equal(lifeOf({ ...own, pid: 0 }), "unknown");
});
