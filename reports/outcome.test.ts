import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, check, policy, run, scenario, step } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { exitCode, outcomesOf, policiesInForce, worstFirst } from "./outcome.ts";

const skipped = scenario("jwt/skipped", { status: "skipped", reason: "not here", steps: [] });
const broken = scenario("jwt/broken", { status: "error", reason: "httpbin is gone" });
const failed = scenario("jwt/failed", {
  steps: [step("s", { checks: [check("a", { status: "failed", got: answer(401) })] })],
});
const flaky = scenario("jwt/flaky", { steps: [step("s", { checks: [check("a", { status: "flaky" })] })] });
const passed = scenario("jwt/passed");

test("a skipped scenario counts once, an error outside of all checks counts in addition to them", () => {
  assert.deepEqual(
    outcomesOf(skipped).map(({ status, name, reason }) => [status, name, reason]),
    [["skipped", "Scenario jwt/skipped", "not here"]],
  );
  assert.deepEqual(
    outcomesOf(broken).map(({ status, name }) => [status, name]),
    [
      ["passed", "a valid token is admitted: headers"],
      ["error", "Scenario jwt/broken"],
    ],
  );
});

test("exit codes: 1 for failed or flaky, 3 only if the environment alone is at fault", () => {
  assert.equal(exitCode(run([passed, skipped])), 0);
  assert.equal(exitCode(run([passed, failed, broken])), 1);
  assert.equal(exitCode(run([flaky, broken])), 1);
  assert.equal(exitCode(run([passed, broken])), 3);
});

test("exit code 2 if only rejected manifests are wrong", () => {
  const position = { file: "a/policy.yaml", line: 1, column: 1 };
  const refused = scenario("jwt/refused", {
    status: "error",
    reason: "r",
    steps: [],
    refused: [{ position, object: "AuthorizationPolicy foo/a", message: "m" }],
  });
  assert.equal(exitCode(run([refused])), 2);
  assert.equal(exitCode(run([passed, skipped, refused])), 2);
  assert.equal(exitCode(run([refused, broken])), 3);
  assert.equal(exitCode(run([refused, failed])), 1);
});

test("the worst comes first, in the run's own order within a status", () => {
  const order = worstFirst(redRun().scenarios).map(({ status }) => status);
  assert.deepEqual([...new Set(order)], ["failed", "flaky", "error", "known-failure", "skipped", "passed"]);
  assert.deepEqual(
    worstFirst([passed, failed, { ...failed, id: "b" }]).map(({ id }) => id),
    ["jwt/failed", "b", "jwt/passed"],
  );
});

test("a policy is in force from the step that applies it until one deletes it; a replacement counts from its own step", () => {
  const one = policy({ name: "one" });
  const two = policy({ name: "two" });
  const steps = [
    step("apply both", { objects: [one, two] }),
    step("replace one", { objects: [{ ...one, yaml: "new" }] }),
    step("delete two", { objects: [{ ...two, verb: "delete" }] }),
  ];
  const all = scenario("jwt/x", { steps });
  const at = (index: number) => policiesInForce(all, all.steps[index]!).map((p) => [p.object.name, p.step]);
  assert.deepEqual(at(0), [
    ["one", 0],
    ["two", 0],
  ]);
  assert.deepEqual(at(1), [
    ["two", 0],
    ["one", 1],
  ]);
  assert.deepEqual(at(2), [["one", 1]]);
});
