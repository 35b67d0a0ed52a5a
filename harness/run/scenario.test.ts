import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckResult, ScenarioResult, StepResult } from "../model/result.ts";
import { excuseOwn } from "./scenario.ts";

const knownFailure = { owner: "mesh-team", reason: "the door is shut", expires: "2026-11-30" };

/** A scenario with one check that wants 403 from authorization. */
function found(check: Pick<CheckResult, "status"> & { readonly got: object }, scenario: string): ScenarioResult {
  const { status } = check;
  const checks = [{ name: "c", request: {}, expected: { status: 403, by: "authorization" }, ...check }];
  const steps = [{ name: "s", status, checks, asked: [] }] as unknown as StepResult[];
  return { id: "a/b", status: scenario, steps, startedAt: "2026-11-30T23:59:59.000Z" } as unknown as ScenarioResult;
}
const otherRefusal = { status: 401, by: "authentication" };
const admitted = { status: 200, by: "workload" };

test("a scenario's own known failure is applied to what the access logs made of it", () => {
  // The review has judged the check and the step again, and left the scenario as it was.
  for (const before of ["passed", "flaky", "failed"])
    assert.equal(
      excuseOwn({ knownFailure }, found({ status: "failed", got: otherRefusal }, before)).status,
      "known-failure",
    );
  const unknown = excuseOwn({}, found({ status: "failed", got: otherRefusal }, "failed"));
  assert.equal(unknown.status, "failed");
});

test("it excuses no request that was admitted and must be refused, unless it names the answer", () => {
  const fatal = found({ status: "failed", got: admitted }, "failed");
  assert.equal(excuseOwn({ knownFailure }, fatal).status, "failed");
  assert.equal(
    excuseOwn({ knownFailure: { ...knownFailure, got: { status: 200, by: "workload" } } }, fatal).status,
    "known-failure",
  );
  assert.equal(
    excuseOwn({ knownFailure: { ...knownFailure, got: { status: 200, by: "proxy" } } }, fatal).status,
    "failed",
  );
});

test("it ends with its day, and excuses no error", () => {
  const late = { ...found({ status: "failed", got: otherRefusal }, "failed"), startedAt: "2026-12-01T00:00:00.000Z" };
  assert.equal(excuseOwn({ knownFailure }, late).status, "failed");
  assert.equal(excuseOwn({ knownFailure }, found({ status: "error", got: otherRefusal }, "error")).status, "error");
});
