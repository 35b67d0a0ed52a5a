import assert from "node:assert/strict";
import { test } from "node:test";
import type { CheckResult, ScenarioResult, Status, StepResult } from "../model/result.ts";
import { countOf, excuseScenario, statusOfScenario, statusOfStep, worst } from "./status.ts";

const knownFailure = { owner: "mesh-team", reason: "the door is shut", expires: "2026-11-30" };
const otherRefusal = { status: 401, by: "authentication" };
const admitted = { status: 200, by: "workload" };
const finding = { kind: "recorded", text: "gone" } as const;

/** A scenario with one check that expects 403 from authorization. */
function found(check: Pick<CheckResult, "status"> & { readonly got: object }, status: Status): ScenarioResult {
  const checks = [{ name: "c", request: {}, expected: { status: 403, by: "authorization" }, ...check }];
  const steps = [{ name: "s", status: check.status, checks, asked: [] }] as unknown as StepResult[];
  return { id: "a/b", status, steps } as unknown as ScenarioResult;
}

const excused = (scenario: ScenarioResult, changes: object = {}, today = "2026-11-30"): Status =>
  excuseScenario(scenario, [{ ...knownFailure, ...changes }], today).status;

const result = (status: Status, checks: readonly Status[]): ScenarioResult =>
  ({
    status,
    steps: checks.length === 0 ? [] : [{ checks: checks.map((each) => ({ status: each })), asked: [] }],
  }) as unknown as ScenarioResult;

test("a whole is as bad as its worst part, and an empty one is passed", () => {
  assert.equal(worst(["passed", "flaky", "failed"]), "failed");
  assert.equal(worst(["passed", "flaky"]), "flaky");
  assert.equal(worst(["failed", "error"]), "failed");
  assert.equal(worst(["known-failure", "error"]), "error");
  assert.equal(worst([]), "passed");
});

test("a step or scenario with its own findings is in error, independent of its parts", () => {
  const { steps } = result("failed", ["failed"]);
  assert.equal(statusOfStep(steps[0]!), "failed");
  assert.equal(statusOfStep({ ...steps[0]!, findings: [] }), "error");
  assert.equal(statusOfScenario({ steps, findings: [finding] }), "error");
});

test("a known failure excuses a check that failed only in the review of the access logs", () => {
  for (const before of ["passed", "flaky", "failed"] as const)
    assert.equal(excused(found({ status: "failed", got: otherRefusal }, before)), "known-failure");
  const unknown = excuseScenario(found({ status: "failed", got: otherRefusal }, "failed"), [], "2026-11-30");
  assert.equal(unknown.status, "failed");
});

test("it does not excuse a request that was admitted and must be denied, unless it names the answer", () => {
  const fatal = found({ status: "failed", got: admitted }, "failed");
  assert.equal(excused(fatal), "failed");
  assert.equal(excused(fatal, { got: admitted }), "known-failure");
  assert.equal(excused(fatal, { got: { status: 200, by: "proxy" } }), "failed");
});

test("it ends with its last day, and does not excuse an error", () => {
  assert.equal(excused(found({ status: "failed", got: otherRefusal }, "failed"), {}, "2026-12-01"), "failed");
  assert.equal(excused(found({ status: "error", got: otherRefusal }, "error")), "error");
  assert.equal(excused({ ...found({ status: "failed", got: otherRefusal }, "error"), findings: [finding] }), "error");
});

test("checks are counted, and a scenario itself if none of its checks has its status", () => {
  const counts = countOf([
    result("failed", ["passed", "failed", "flaky"]),
    result("skipped", []),
    result("error", ["passed"]),
  ]);
  assert.deepEqual(counts, { passed: 2, failed: 1, flaky: 1, error: 1, skipped: 1, "known-failure": 0 });
});

test("what the API server says counts like a check, and can be a known failure by its name", () => {
  const admission = [{ object: "AuthorizationPolicy a", expected: { verdict: "refused" }, status: "failed" }];
  const steps = [{ name: "s", status: "failed", checks: [], asked: [], admission }] as unknown as StepResult[];
  const scenario = { id: "a/b", status: "failed", steps } as unknown as ScenarioResult;
  assert.equal(statusOfStep(steps[0]!), "failed");
  assert.equal(countOf([scenario]).failed, 1);
  const excuse = { ...knownFailure, check: "AuthorizationPolicy a refused by the API server" };
  assert.equal(excuseScenario(scenario, [excuse], "2026-11-30").status, "known-failure");
  assert.equal(excuseScenario(scenario, [{ ...excuse, check: "another" }], "2026-11-30").status, "failed");
});
