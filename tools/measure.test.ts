import assert from "node:assert/strict";
import { it } from "node:test";
import { check, policy, run, scenario, step } from "../test/recorded/change.ts";
import { formatFigure, measure, ratioOf } from "./measure.ts";

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

it("writes a figure as what it is, and nothing where there is none", () => {
  assert.deepEqual(
    [formatFigure("ms", 12_345), formatFigure("rate", 33.4), formatFigure("bytes", 2.44e9), formatFigure("bytes", 3e8)],
    ["12.3 s", "33", "2.4 GB", "300 MB"],
  );
  assert.equal(formatFigure("ms", NaN), "");
  assert.equal(ratioOf([30, 50, 40], [10, 8]), "5.0");
  assert.equal(ratioOf([], [10]), "");
});
