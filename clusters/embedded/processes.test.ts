import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { lastLines, startDaemon } from "./processes.ts";

const ended = async (command: readonly string[]): Promise<string> => {
  const logs = await mkdtemp(join(tmpdir(), "mp-logs-"));
  try {
    return await new Promise((resolve) => {
      startDaemon("demo", command, { logs, env: { PATH: process.env["PATH"] } }, resolve);
    });
  } finally {
    await rm(logs, { recursive: true });
  }
};

test("a program that ends is explained by its last lines", async () => {
  const explanation = await ended(["sh", "-c", "echo one; echo two >&2; exit 3"]);
  assert.match(explanation, /^demo ended by itself \(exit code 3\); the last lines of .*demo\.log:\none\ntwo$/);
});

test("a program that prints nothing, is killed or does not exist is explained too", async () => {
  assert.match(await ended(["sh", "-c", "kill -9 $$"]), /^demo ended by itself \(SIGKILL\); .*demo\.log is empty$/);
  assert.match(await ended(["/nowhere/program"]), /^demo could not be started: .*ENOENT/);
});

test("the last lines of a log are bounded in number and length", () => {
  assert.equal(lastLines("a\nb\nc\n", 2), "b\nc");
  assert.equal(lastLines(`${"x".repeat(600)}\n`, 2).length, 501);
  assert.equal(lastLines("", 2), "");
});
