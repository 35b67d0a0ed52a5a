import assert from "node:assert/strict";
import { test } from "node:test";
import { earlyPauseMs, ProbeState, probeTimes } from "./probe-state.ts";

test("fills in Kubernetes' defaults", () => {
  assert.deepEqual(probeTimes({}), {
    initialDelayMs: 0,
    periodMs: 10_000,
    timeoutMs: 1000,
    successThreshold: 1,
    failureThreshold: 3,
  });
});

test("changes only after enough results in a row", () => {
  const state = new ProbeState({ successThreshold: 2, failureThreshold: 3 });
  const results = [true, false, true, true, false, false, true, false, false, false].map((ok) => {
    state.observe(ok);
    return state.result;
  });
  assert.deepEqual(results, [
    "unknown",
    "unknown",
    "unknown",
    "success",
    "success",
    "success",
    "success",
    "success",
    "success",
    "failure",
  ]);
});

test("reports a change once", () => {
  const state = new ProbeState({ successThreshold: 1, failureThreshold: 1 });
  assert.deepEqual(
    [true, true, false, false, true].map((ok) => state.observe(ok)),
    [true, false, true, false, true],
  );
});

test("looks ever more rarely before the first success", () => {
  assert.deepEqual([0, 500, 1000, 5000, 60_000].map(earlyPauseMs), [100, 100, 100, 500, 6000]);
});
