import assert from "node:assert/strict";
import { test } from "node:test";
import { BackOff, formatPause } from "./backoff.ts";

test("restarts at once first, then after 10 s doubling to 5 min", () => {
  const backOff = new BackOff();
  const pauses = Array.from({ length: 8 }, () => backOff.next(1000) / 1000);
  assert.deepEqual(pauses, [0, 10, 20, 40, 80, 160, 300, 300]);
});

test("forgets after a run of ten minutes", () => {
  const backOff = new BackOff();
  for (let runs = 0; runs < 5; runs++) backOff.next(0);
  assert.equal(backOff.next(BackOff.FORGET_MS), 0);
  assert.equal(backOff.next(0), 10_000);
});

test("writes a pause as Go does", () => {
  assert.deepEqual([10_000, 80_000, 300_000].map(formatPause), ["10s", "1m20s", "5m0s"]);
});
