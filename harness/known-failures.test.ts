import assert from "node:assert/strict";
import { test } from "node:test";
import { describeNote } from "../reports/words.ts";
import { excuseRun, parseKnownFailures } from "./known-failures.ts";
import type { Answer, CheckResult, RunResult, ScenarioResult, Status, StepResult } from "./model/result.ts";

const file = (rest: string): string =>
  `knownFailures:\n  - { scenario: a/b, owner: mesh-team, reason: slow, ${rest} }\n`;
const parse = (rest: string) => parseKnownFailures(file(rest), "known.yaml");

/** The part of a result that known failures read. */
function run(...statuses: Status[]): RunResult {
  return runOf(statuses.map((status, index) => checkOf(status, { name: `check ${index}` })));
}

/** A check that expects 403 from authorization and got another denial. */
function checkOf(status: Status, changes: Partial<CheckResult> = {}): CheckResult {
  const check = {
    name: "check",
    status,
    findings: [{ kind: "recorded", text: "seen" }],
    request: {},
    expected: { status: 403, by: "authorization" },
  };
  return { ...check, got: { status: 401, by: "authentication" }, ...changes } as unknown as CheckResult;
}

function runOf(checks: readonly CheckResult[]): RunResult {
  const statuses = checks.map(({ status }) => status);
  const status = (["error", "failed", "flaky"] as const).find((each) => statuses.includes(each)) ?? "passed";
  const step = { name: "step", status, checks, asked: [] } as unknown as StepResult;
  const scenario = { id: "a/b", status, steps: [step] as readonly StepResult[] } as ScenarioResult;
  const counts = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const each of statuses) counts[each]++;
  return { scenarios: [scenario], counts } as unknown as RunResult;
}
const noteOf = ({ notes = [] }: RunResult): string => notes.map(describeNote).join();
const statusesOf = ({ scenarios }: RunResult): Status[] => scenarios[0]!.steps[0]!.checks.map(({ status }) => status);

test("a known failure counts as one in check, step, scenario and counts, until the end of its last day", () => {
  const result = excuseRun(run("passed", "failed", "flaky"), parse("expires: 2026-11-25"), "2026-11-25");
  assert.deepEqual(statusesOf(result), ["passed", "known-failure", "known-failure"]);
  const [scenario] = result.scenarios;
  assert.deepEqual([scenario?.status, scenario?.steps[0]?.status], ["known-failure", "known-failure"]);
  assert.deepEqual([result.counts.failed, result.counts.flaky, result.counts["known-failure"]], [0, 0, 2]);
  assert.equal(scenario?.steps[0]?.checks[1]?.reason, "known until 2026-11-25, mesh-team: slow; seen");
  assert.equal(result.notes, undefined);
});

const answer = (status: number, by: Answer["by"]) => ({ status, by }) as Answer;
const admitted = answer(200, "workload");

test("a request that was admitted and must be denied is excused only by an entry that names the answer", () => {
  for (const entry of [
    "expires: 2027-01-01",
    "expires: 2027-01-01, step: step",
    "expires: 2027-01-01, step: step, check: check",
  ])
    for (const failed of [
      checkOf("failed", { got: admitted }),
      checkOf("failed", { got: answer(404, "workload") }),
      // The workload's own 403, which the late review of the access log finds.
      checkOf("failed", { got: answer(403, "workload") }),
      checkOf("failed", { expected: { status: 401, by: "authentication" }, got: admitted }),
      checkOf("flaky", { got: answer(403, "authorization"), wrong: [admitted] }),
      checkOf("failed", { wrong: [admitted, answer(503, "proxy")], got: answer(503, "proxy") }),
    ]) {
      const result = excuseRun(runOf([failed]), parse(entry), "2026-11-25");
      assert.deepEqual(statusesOf(result), [failed.status], `${entry} ${JSON.stringify(failed)}`);
      assert.equal(result.counts["known-failure"], 0);
      assert.equal(result.scenarios[0]?.status, failed.status);
      assert.match(noteOf(result), /does not excuse a request that was admitted and must be refused/);
    }
});

test("an entry that names the answer excuses that answer alone", () => {
  const entry = parse("expires: 2027-01-01, got: { status: 200, by: workload }");
  const excused = excuseRun(runOf([checkOf("failed", { got: admitted })]), entry, "2026-11-25");
  assert.deepEqual(statusesOf(excused), ["known-failure"]);
  assert.equal(excused.notes, undefined);
  const other = excuseRun(run("failed"), entry, "2026-11-25");
  assert.deepEqual(statusesOf(other), ["failed"]);
  assert.match(noteOf(other), /names 200 from workload, and there were other answers: they count$/);
  const two = [admitted, answer(503, "proxy")];
  const both = runOf([checkOf("flaky", { got: answer(403, "authorization"), wrong: two })]);
  assert.deepEqual(statusesOf(excuseRun(both, entry, "2026-11-25")), ["flaky"], "one of two answers");
  const entries = [...entry, ...parse("expires: 2027-01-01, got: { status: 503, by: proxy }")];
  assert.deepEqual(statusesOf(excuseRun(both, entries, "2026-11-25")), ["known-failure"]);
});

test("a scenario is known to fail only where each of its failures is known", () => {
  const known = parse("expires: 2027-01-01");
  const { scenarios, counts } = excuseRun(
    runOf([checkOf("failed"), checkOf("failed", { name: "admitted", got: admitted })]),
    known,
    "2026-11-25",
  );
  assert.deepEqual([scenarios[0]?.status, counts.failed, counts["known-failure"]], ["failed", 1, 1]);
});

test("an answer is named by its status and who gave it", () => {
  assert.throws(() => parse("expires: 2027-01-01, got: { status: 200 }"), /got .*no "by"|no "by"/);
  assert.throws(
    () => parse("expires: 2027-01-01, got: { status: 200, by: me }"),
    /by must be authentication, authorization, workload, proxy or nobody, found "me"/,
  );
});

test("an expired entry fails, with a note", () => {
  const result = excuseRun(run("failed"), parse("expires: 2026-11-24"), "2026-11-25");
  assert.deepEqual([statusesOf(result), result.counts.failed], [["failed"], 1]);
  assert.match(
    noteOf(result),
    /^known failure of mesh-team \(known\.yaml:2, a\/b\) expired on 2026-11-24: its failures count$/,
  );
});

test("only the named check is excused, the other one still fails the scenario", () => {
  const known = parse('expires: 2027-01-01, step: step, check: "check 0"');
  const result = excuseRun(run("failed", "failed"), known, "2026-11-25");
  assert.deepEqual(statusesOf(result), ["known-failure", "failed"]);
  assert.equal(result.scenarios[0]?.status, "failed");
});

test("an error of the environment is not excused", () => {
  const result = excuseRun(run("error"), parse("expires: 2027-01-01"), "2026-11-25");
  assert.deepEqual(statusesOf(result), ["error"]);
  assert.match(noteOf(result), /was not judged$/);
});

test("an entry that passes now is to be removed, one that matches nothing gets a note", () => {
  const passes = excuseRun(run("passed"), parse("expires: 2027-01-01"), "2026-11-25");
  assert.match(noteOf(passes), /passes now: remove it$/);
  const nothing = excuseRun(run("failed"), parse("expires: 2027-01-01, step: other"), "2026-11-25");
  assert.match(noteOf(nothing), /a\/b: other\) matches nothing in this run$/);
  assert.deepEqual(statusesOf(nothing), ["failed"]);
});

test("a wrong file is an error with its line", () => {
  assert.throws(() => parse("expires: soon"), /known\.yaml:2:\d+ expires must be a date such as 2027-01-31/);
  assert.throws(() => parse("expires: 2026-02-30"), /known\.yaml:2 2026-02-30 is not a date/);
  assert.throws(() => parse("until: 2026-02-20"), /known\.yaml:2:\d+ unknown key "until"/);
  assert.throws(() => parse("expires: 2026-02-20, check: x"), /names the check "x" and no step/);
  assert.throws(
    () => parseKnownFailures("knownFailures:\n  - { scenario: a/b, expires: 2026-01-01 }", "k"),
    /no "owner"/,
  );
  assert.throws(() => parseKnownFailures("", "k"), /k/);
});
