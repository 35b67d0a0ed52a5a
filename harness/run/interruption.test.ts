import assert from "node:assert/strict";
import { test } from "node:test";
import { MeshproofError } from "../model/errors.ts";
import type { ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { cut, inTime, interruptionBy } from "./interruption.ts";
import { unrun } from "./scenario.ts";

const scenario = { id: "a/b", title: "t", steps: [] } as unknown as Scenario;
const START = Date.parse("2026-11-28T10:00:00Z");
/** A scenario that passed and ended so long before the interruption. */
const passed = (secondsBefore: number): ScenarioResult => ({
  ...unrun(scenario, "passed", []),
  startedAt: new Date(START - secondsBefore * 1000 - 1000).toISOString(),
  durationMs: 1000,
  steps: [{}] as unknown as ScenarioResult["steps"],
});
const CTRL_C = interruptionBy(new MeshproofError("ERR_INTERRUPTED", "interrupted"), START);

test("without an interruption every result is as it is, and errors are errors", async () => {
  const { signal } = new AbortController();
  assert.equal(cut(undefined, scenario, passed(-10)).status, "passed");
  assert.equal(await inTime(signal, Promise.resolve("done"), "late"), "done");
  await assert.rejects(inTime(signal, Promise.reject(new Error("broken")), "late"), /broken/);
});

test("what had ended is kept, what had not is in error and has no steps", () => {
  assert.equal(cut(CTRL_C, scenario, passed(0)).status, "passed");
  const { status, reason, steps } = cut(CTRL_C, scenario, passed(-0.5));
  assert.deepEqual([status, reason, steps], ["error", "it did not run to its end: the run was interrupted", []]);
});

test("an error of before keeps its reason", () => {
  const before = {
    ...unrun(scenario, "error", [{ kind: "mesh-setting-refused", error: { message: "no" } }]),
    startedAt: new Date(START - 5).toISOString(),
  };
  assert.deepEqual(cut(CTRL_C, scenario, before).findings, before.findings);
});

test("what ended after the Lease was held for certain is not known", () => {
  const error = new MeshproofError("ERR_CLUSTER_BUSY", "this run has lost the cluster: run x has it");
  const taken = interruptionBy(error, START);
  assert.equal(cut(taken, scenario, passed(21)).status, "passed");
  const late = cut(taken, scenario, passed(19));
  assert.equal(late.status, "error");
  assert.equal(late.reason, "it did not run to its end: this run has lost the cluster: run x has it");
});

test("after an interruption nothing is waited for for long, and nothing fails", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const signal = AbortSignal.abort();
  assert.equal(await inTime(signal, Promise.reject(new Error("the cluster is away")), "late"), "late");
  assert.equal(await inTime(signal, Promise.resolve("done"), "late"), "done");
});
