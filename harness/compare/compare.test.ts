import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import type { Answer, CheckResult, RunResult, ScenarioResult } from "../model/result.ts";
import { compareRuns } from "./compare.ts";
import { parseKnownChanges, readKnownChanges } from "./known.ts";

const position = { file: "scenarios/a/b/scenario.yaml", line: 3, column: 1 };

function check(name: string, got: Partial<Answer>, changes: Partial<CheckResult> = {}): CheckResult {
  return {
    name,
    position,
    request: { from: "sleep", to: "httpbin", method: "GET", url: "http://httpbin/", tokens: [] },
    expected: { status: 200, by: "workload" },
    got: { status: 200, by: "workload", body: "{}", headers: {}, totalMs: 1, ...got },
    status: "passed",
    enforcedMs: 10,
    changes: [],
    curl: "curl",
    ...changes,
  };
}

function run(checks: readonly CheckResult[], envoy = "1.40.0", changes: Partial<ScenarioResult> = {}): RunResult {
  const timing = { applyMs: 0, inForceMs: 0, probeMs: 0, totalMs: 0 };
  const step = {
    name: "step",
    position,
    status: "passed",
    objects: [],
    checks,
    asked: [],
    matrices: [],
    rounds: 3,
    timing,
  } as const;
  const scenario: ScenarioResult = {
    id: "a/b",
    title: "t",
    source: "s",
    level: "core",
    tags: [],
    position,
    mesh: {},
    status: "passed",
    startedAt: "2026-01-01T00:00:00Z",
    durationMs: 1,
    steps: [step],
    ...changes,
  };
  return {
    schemaVersion: 2,
    id: "run",
    tool: { name: "meshproof", version: "0.1.0" },
    startedAt: "2026-01-01T00:00:00Z",
    finishedAt: "2026-01-01T00:00:01Z",
    command: "meshproof run",
    cluster: { kind: "embedded", name: "d", versions: { kubernetes: "v1.36.3", istio: "1.31.0", envoy }, digests: {} },
    timing: { meshReadyMs: 0, workloadsReadyMs: 0, firstVerdictMs: 0, totalMs: 0 },
    scenarios: [scenario],
    counts: { passed: checks.length, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 },
  };
}

const admitted = run([check("one", {}), check("two", {})], "1.36.0");
const refused = run([
  check("one", { status: 403, by: "authorization", body: "RBAC: access denied" }, { status: "failed", reason: "why" }),
  check("two", {}),
]);

const list = (rest: string): string => `changes:
  - id: semicolons
    sentence: A path with parameters is matched without them.
    source: Envoy's release notes
${rest}`;
const entry = list(`    versions: { envoy: { since: "1.38.0" } }
    cells: [{ scenario: a/*, check: one }]
    from: { answer: 200 }
    to: { answer: 403, by: authorization }
`);

test("a run compared with itself has no change, even if times differ", () => {
  const slower = run([check("one", {}, { enforcedMs: 900 }), check("two", { totalMs: 70 })], "1.36.0");
  const comparison = compareRuns(admitted, slower, []);
  assert.deepEqual([comparison.changes, comparison.same, comparison.unexpected], [[], 2, 0]);
  assert.equal(comparison.after.enforcedMs, 900);
});

test("a cell with another answer is an unexpected change that names what differs", () => {
  const { changes, unexpected, same } = compareRuns(admitted, refused, []);
  assert.deepEqual([unexpected, same], [1, 1]);
  assert.deepEqual(changes[0]?.aspects, ["answer", "by", "status"]);
  assert.equal(changes[0]?.after.reason, "why");
});

for (const [what, changed, aspects] of [
  ["who answered", check("one", { by: "proxy" }), ["by"]],
  ["the status alone", check("one", {}, { status: "flaky" }), ["status"]],
  ["response code details", check("one", { details: "b" }), ["details"]],
] as const)
  test(`${what} is a change`, () => {
    const before = run([check("one", { details: "a" })]);
    const { changes } = compareRuns(before, run([changed]), []);
    assert.deepEqual(changes[0]?.aspects, aspects);
  });

test("another reply of a proxy is a change; another body of a workload or a missing access log line is not", () => {
  const reply = (body: string) => run([check("one", { status: 401, by: "authentication", body })]);
  assert.deepEqual(compareRuns(reply("Jwt is missing"), reply("Jwt expired"), []).changes[0]?.aspects, ["body"]);
  assert.equal(
    compareRuns(run([check("one", { details: "a" })]), run([check("one", { body: "[]" })]), []).unexpected,
    0,
  );
});

test("a removed check is unexpected, an added one that passes is not, one that fails is", () => {
  const one = run([check("one", {})]);
  const two = (status: "passed" | "failed") => run([check("one", {}), check("two", {}, { status })]);
  assert.deepEqual(
    compareRuns(two("passed"), one, []).removed.map((cell) => cell.check),
    ["two"],
  );
  assert.equal(compareRuns(two("passed"), one, []).unexpected, 1);
  assert.equal(compareRuns(one, two("passed"), []).unexpected, 0);
  assert.equal(compareRuns(one, two("failed"), []).unexpected, 1);
});

test("a scenario that is skipped now is an unexpected change, and one skipped on both sides does not count as the same", () => {
  const skipped = run([], "1.40.0", { status: "skipped", reason: "no gateway", steps: [] });
  assert.ok(compareRuns(admitted, skipped, []).unexpected > 0);
  const { same, unjudged } = compareRuns(skipped, skipped, []);
  assert.deepEqual([same, unjudged], [0, 1]);
});

test("a change on the list is expected only between the versions it names, in both directions", () => {
  const known = parseKnownChanges(entry, "known.yaml");
  const forward = compareRuns(admitted, refused, known);
  assert.equal(forward.unexpected, 0);
  assert.equal(forward.changes[0]?.known?.id, "semicolons");
  assert.equal(compareRuns(refused, admitted, known).unexpected, 0, "a downgrade reverts it");
  const sameVersion = run([...(admitted.scenarios[0]?.steps[0]?.checks ?? [])], "1.40.0");
  assert.equal(compareRuns(sameVersion, refused, known).unexpected, 1, "no version was crossed");
  const unknown = run([...(admitted.scenarios[0]?.steps[0]?.checks ?? [])], "proxyv2:1.31.0");
  assert.equal(compareRuns(unknown, refused, known).unexpected, 1, "a version that cannot be compared");
  assert.equal(compareRuns(admitted, admitted, known).unseen.length, 0);
});

test("a list entry explains only its own cells and answers, and an entry that no check shows is reported", () => {
  const other = entry.replace("check: one", "check: two");
  const { unexpected, unseen } = compareRuns(admitted, refused, parseKnownChanges(other, "known.yaml"));
  assert.deepEqual([unexpected, unseen], [1, ["semicolons"]]);
  const reply = entry.replace("answer: 403, by: authorization", "answer: 401");
  assert.equal(compareRuns(admitted, refused, parseKnownChanges(reply, "known.yaml")).unexpected, 1);
});

test("until ends a range", () => {
  const known = parseKnownChanges(entry.replace('since: "1.38.0"', 'since: "1.37.0", until: "1.39.0"'), "known.yaml");
  assert.equal(compareRuns(admitted, refused, known).unexpected, 1);
});

test("a fix in several minor versions applies only if one side does not have it", () => {
  const ranges = '[{ since: "1.36.5", until: "1.37.0" }, { since: "1.37.1" }]';
  const known = parseKnownChanges(entry.replace('{ since: "1.38.0" }', ranges), "known.yaml");
  const old = (envoy: string) => run([check("one", {}), check("two", {})], envoy);
  for (const [envoy, unexpected] of [
    ["1.36.4", 0],
    ["1.36.5", 1],
    ["1.37.0", 0],
    ["1.37.1", 1],
  ] as const)
    assert.equal(compareRuns(old(envoy), refused, known).unexpected, unexpected, envoy);
});

test("meshproof's own list can be read", async () => {
  const known = await readKnownChanges(path.join(import.meta.dirname, "known-changes.yaml"));
  assert.ok(known.length > 0);
});

test("a wrong list is an error with line and column", () => {
  const refuse = (text: string, message: RegExp) => assert.throws(() => parseKnownChanges(text, "known.yaml"), message);
  refuse(entry.replace("sentence:", "sentense:"), /known\.yaml:3:5 unknown key "sentense"/);
  refuse(entry.replace('"1.38.0"', '"soon"'), /known\.yaml:5:\d+ since must be a version/);
  refuse(entry.replace("source: Envoy's release notes", "source: ''"), /source is empty/);
  refuse(`${entry}${entry.slice("changes:\n".length)}`, /"semicolons" is used twice/);
  refuse("", /list/);
});

test("an entry may be of one version alone, as a build between releases has no number of its own", () => {
  const only = list(`    versions: { envoy: { is: 1.36-20260826 } }
    cells: [{ scenario: a/*, check: one }]
    from: { answer: 200 }
    to: { answer: 403, by: authorization }
`);
  const answered = (status: number, envoy: string) =>
    run([check("one", { status, by: status === 200 ? "workload" : "authorization" })], envoy);
  for (const [from, to, known] of [
    [answered(200, "1.36.0"), answered(403, "1.36-20260826"), "semicolons"],
    [answered(403, "1.36-20260826"), answered(200, "1.40.0"), "semicolons"],
    [answered(200, "1.36.0"), answered(403, "1.40.0"), undefined],
    [answered(200, "a-commit"), answered(403, "1.36-20260826"), "semicolons"],
  ] as const)
    assert.equal(compareRuns(from, to, parseKnownChanges(only, "known.yaml")).changes[0]?.known?.id, known);
});
