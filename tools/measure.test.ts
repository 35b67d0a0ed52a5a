import assert from "node:assert/strict";
import { it } from "node:test";
import { check, policy, run, scenario, step } from "../test/recorded/change.ts";
import { measure } from "./measure.ts";

it("measures a run", () => {
  const timing = { applyMs: 10, inForceMs: 50, probeMs: 100, totalMs: 200 };
  const checks = [check("a", { enforcedMs: 150 }), check("b", { enforcedMs: 170 })];
  const measures = measure(
    run([
      scenario("jwt/one", {
        durationMs: 1000,
        steps: [
          step("before", { checks: [check("open", { enforcedMs: 1 })], objects: [], rounds: 4, timing }),
          step("after", { checks, objects: [policy()], rounds: 8, timing: { ...timing, totalMs: 400 } }),
        ],
      }),
      scenario("jwt/two", { durationMs: 3000, steps: [] }),
    ]),
  );
  assert.equal(measures.scenarioMedian, 1000);
  assert.equal(measures.stepMedian, 200);
  assert.equal(measures.stepP95, 400);
  assert.equal(measures.enforcedMedian, 150, "only steps that change something");
  assert.equal(measures.enforcedP95, 170);
  assert.equal(measures.requestsPerSecond, 100, "1 × 4 and 2 × 8 requests in 200 ms");
});
