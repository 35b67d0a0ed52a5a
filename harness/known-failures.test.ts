import assert from "node:assert/strict";
import { test } from "node:test";
import { applyKnownFailures, parseKnownFailures } from "./known-failures.ts";
import type { CheckResult, RunResult, ScenarioResult, Status, StepResult } from "./result.ts";

const file = (rest: string): string =>
  `knownFailures:\n  - { scenario: a/b, owner: mesh-team, reason: slow, ${rest} }\n`;
const parse = (rest: string) => parseKnownFailures(file(rest), "known.yaml");

/** As much of a result as known failures look at. */
function run(...statuses: Status[]): RunResult {
  const checks = statuses.map((status, index) => ({ name: `check ${index}`, status, reason: "seen" }) as CheckResult);
  const status = (["error", "failed", "flaky"] as const).find((each) => statuses.includes(each)) ?? "passed";
  const step = { name: "step", status, checks, asked: [] } as unknown as StepResult;
  const scenario = { id: "a/b", status, steps: [step] as readonly StepResult[] } as ScenarioResult;
  const counts = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const each of statuses) counts[each]++;
  return { scenarios: [scenario], counts } as unknown as RunResult;
}
const statusesOf = ({ scenarios }: RunResult): Status[] => scenarios[0]!.steps[0]!.checks.map(({ status }) => status);

test("a known failure counts as one in check, step, scenario and counts, until the end of its last day", () => {
  const result = applyKnownFailures(run("passed", "failed", "flaky"), parse("expires: 2026-11-25"), "2026-11-25");
  assert.deepEqual(statusesOf(result), ["passed", "known-failure", "known-failure"]);
  const [scenario] = result.scenarios;
  assert.deepEqual([scenario?.status, scenario?.steps[0]?.status], ["known-failure", "known-failure"]);
  assert.deepEqual([result.counts.failed, result.counts.flaky, result.counts["known-failure"]], [0, 0, 2]);
  assert.equal(scenario?.steps[0]?.checks[1]?.reason, "known until 2026-11-25, mesh-team: slow; seen");
  assert.equal(result.notes, undefined);
});

test("an expired one fails, and is told", () => {
  const result = applyKnownFailures(run("failed"), parse("expires: 2026-11-24"), "2026-11-25");
  assert.deepEqual([statusesOf(result), result.counts.failed], [["failed"], 1]);
  assert.match(
    result.notes?.[0] ?? "",
    /^known failure of mesh-team \(known\.yaml:2, a\/b\) expired on 2026-11-24: its failures count$/,
  );
});

test("only the named check is excused, the other one still fails the scenario", () => {
  const known = parse('expires: 2027-01-01, step: step, check: "check 0"');
  const result = applyKnownFailures(run("failed", "failed"), known, "2026-11-25");
  assert.deepEqual(statusesOf(result), ["known-failure", "failed"]);
  assert.equal(result.scenarios[0]?.status, "failed");
});

test("an error of the environment is not excused", () => {
  const result = applyKnownFailures(run("error"), parse("expires: 2027-01-01"), "2026-11-25");
  assert.deepEqual(statusesOf(result), ["error"]);
  assert.match(result.notes?.[0] ?? "", /was not judged$/);
});

test("one that passes now is to be removed, one that matches nothing is told", () => {
  const passes = applyKnownFailures(run("passed"), parse("expires: 2027-01-01"), "2026-11-25");
  assert.match(passes.notes?.[0] ?? "", /passes now: remove it$/);
  const nothing = applyKnownFailures(run("failed"), parse("expires: 2027-01-01, step: other"), "2026-11-25");
  assert.match(nothing.notes?.[0] ?? "", /a\/b: other\) matches nothing in this run$/);
  assert.deepEqual(statusesOf(nothing), ["failed"]);
});

test("a wrong file is refused with its line", () => {
  assert.throws(() => parse("expires: soon"), /known\.yaml:2:\d+ expires must be a date such as 2027-01-31/);
  assert.throws(() => parse("expires: 2026-02-30"), /known\.yaml:2 2026-02-30 is no date/);
  assert.throws(() => parse("until: 2026-02-20"), /known\.yaml:2:\d+ unknown key "until"/);
  assert.throws(() => parse("expires: 2026-02-20, check: x"), /names the check "x" and no step/);
  assert.throws(
    () => parseKnownFailures("knownFailures:\n  - { scenario: a/b, expires: 2026-01-01 }", "k"),
    /no "owner"/,
  );
  assert.throws(() => parseKnownFailures("", "k"), /k/);
});
