import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Probe } from "@kubernetes/client-node";
import { runProbe } from "./probes.ts";

/** Runs a probe on these answers; returns the reported results, in order. */
async function tell(probe: V1Probe, eager: boolean, answers: readonly boolean[]): Promise<string[]> {
  const told: string[] = [];
  const over = new AbortController();
  let asked = 0;
  await runProbe({
    probe,
    eager,
    run: () => {
      // The next look may come before the abort below.
      if (asked === answers.length) over.abort();
      const ok = answers[asked++] ?? false;
      if (asked === answers.length) setImmediate(() => over.abort());
      return Promise.resolve({ ok, message: `answer ${asked}` });
    },
    onResult: (result, message) => told.push(`${result}: ${message}`),
    onFailure: (message) => told.push(`counted ${message}`),
    signal: over.signal,
  });
  return told;
}

test("an eager probe finds the first success before its declared time, and early failures do not count", async () => {
  const probe = { initialDelaySeconds: 1000, failureThreshold: 1 };
  assert.deepEqual(await tell(probe, true, [false, false, true]), ["success: answer 3"]);
});

test("failures at declared times count against the threshold", async () => {
  const probe = { periodSeconds: 0.001, failureThreshold: 2 };
  assert.deepEqual(await tell(probe, false, [true, false, false, false, true]), [
    "success: answer 1",
    "counted answer 2",
    "counted answer 3",
    "failure: answer 3",
    "counted answer 4",
    "success: answer 5",
  ]);
});
