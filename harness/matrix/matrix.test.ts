import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { KnownChange } from "../model/known.ts";
import { matrixExitCode, type Matrix } from "../model/matrix.ts";
import type { RunResult, ScenarioResult } from "../model/result.ts";
import { answer, check, expectation, run, scenario, step } from "../../test/recorded/change.ts";
import { findMatrix, type MatrixParts } from "./matrix.ts";
import { neighboursOf } from "./neighbours.ts";

let clock = 0;

function on(versions: string, scenarios: readonly ScenarioResult[], changes: Partial<RunResult> = {}): RunResult {
  const [istio = "", envoy = ""] = versions.split("@");
  const plain = run(scenarios);
  clock += 1;
  return {
    ...plain,
    id: `run-${clock}`,
    startedAt: new Date(Date.UTC(2026, 10, clock)).toISOString(),
    cluster: { ...plain.cluster, versions: { ...plain.cluster.versions, istio, envoy } },
    ...changes,
  };
}

const passes = (id: string): ScenarioResult => scenario(id, { steps: [step("s", { checks: [check("c")] })] });
const fails = (id: string, expected = 403, got = 200): ScenarioResult =>
  scenario(id, {
    status: "failed",
    steps: [
      step("s", {
        status: "failed",
        checks: [
          check("b"),
          check("c", {
            status: "failed",
            expected: expectation(expected),
            got: answer(got, { details: "via_upstream" }),
          }),
        ],
      }),
    ],
  });
const skipped = (id: string): ScenarioResult =>
  scenario(id, { status: "skipped", steps: [], findings: [{ kind: "no-waypoint" }] });

const fixed: KnownChange = {
  ...{ id: "fixed", sentence: "It is denied.", source: "CVE-0000-0000" },
  versions: { envoy: { since: "1.38.0" } },
  cells: [{ scenario: "authz/*", check: "c" }],
  from: { answer: 200, by: "workload" },
  to: { answer: 403, by: "authorization" },
};

const find = (runs: readonly RunResult[], parts: Partial<MatrixParts> = {}): Matrix =>
  findMatrix({ runs: runs.map((result) => ({ folder: result.id, result })), known: [], version: "0.1.0", ...parts });
const statesOf = ({ rows }: Matrix, id: string) =>
  rows.find((row) => row.scenario === id)?.cells.map(({ state }) => state);

describe("a matrix", () => {
  it("has one column for each pair of versions, by their numbers", () => {
    const { columns } = find(
      ["1.31.0@1.9.0", "1.31.0@1.40.0", "1.9.1@1.40.0", "1.31.0@1.9.0"].map((v) => on(v, [passes("a/b")])),
    );
    assert.deepEqual(
      columns.map(({ versions: { istio, envoy }, runs }) => [istio, envoy, runs.length]),
      [
        ["1.9.1", "1.40.0", 1],
        ["1.31.0", "1.9.0", 2],
        ["1.31.0", "1.40.0", 1],
      ],
    );
  });

  it("says what passed, failed, was skipped with the reason, and was not run", () => {
    const found = find([
      on("1.30.0@1.38.0", [passes("a/b"), fails("a/c"), skipped("a/d")]),
      on("1.31.0@1.38.0", [passes("a/b"), passes("a/e")]),
    ]);
    assert.deepEqual(statesOf(found, "a/b"), ["passed", "passed"]);
    assert.deepEqual(statesOf(found, "a/c"), ["failed", "not-run"]);
    assert.deepEqual(statesOf(found, "a/d"), ["skipped", "not-run"]);
    assert.deepEqual(statesOf(found, "a/e"), ["not-run", "passed"]);
    const { cells: [failed] = [] } = found.rows.find((row) => row.scenario === "a/c")!;
    assert.deepEqual([failed?.passed, failed?.of, failed?.exceptions?.[0]?.check], [1, 2, "c"]);
    const { cells: [left] = [] } = found.rows.find((row) => row.scenario === "a/d")!;
    assert.deepEqual(left?.exceptions?.[0]?.findings, [{ kind: "no-waypoint" }]);
    assert.equal(matrixExitCode(found), 1);
  });

  it("calls a failure known only where a known change explains it with this version", () => {
    const runs = [
      on("1.31.0@1.36.0", [fails("authz/x"), fails("a/c"), fails("authz/y", 401)]),
      on("1.31.0@1.38.0", [fails("authz/x")]),
    ];
    const found = find(runs, { known: [fixed] });
    assert.deepEqual(statesOf(found, "authz/x"), ["known", "failed"]);
    assert.deepEqual(statesOf(found, "a/c"), ["failed", "not-run"]);
    assert.deepEqual(statesOf(found, "authz/y"), ["failed", "not-run"]);
    assert.deepEqual(found.known, [{ id: "fixed", sentence: "It is denied.", source: "CVE-0000-0000" }]);
    const alone = find([on("1.31.0@1.36.0", [fails("authz/x")])], { known: [fixed] });
    assert.equal(matrixExitCode(alone), 0);
    // A scenario that still expects the behaviour before the change.
    const old = find([on("1.31.0@1.40.0", [fails("authz/x", 200, 403)])], { known: [fixed] });
    assert.deepEqual(statesOf(old, "authz/x"), ["known"]);
  });

  it("calls a scenario in error known only where the entry names the finding", () => {
    const proxy = { namespace: "foo", pod: "httpbin" };
    const inError = (kind: "config-not-rejected" | "selects-a-pod") =>
      scenario("a/b", {
        status: "error",
        steps: [
          step("s", {
            status: "error",
            checks: [],
            findings: [kind === "selects-a-pod" ? { kind } : { kind, proxy, objects: [] }],
          }),
        ],
      });
    const accepted: KnownChange = {
      ...{ ...fixed, cells: [{ scenario: "a/b" }], versions: { istio: { is: "1.30-1" } } },
      ...{ from: { status: "passed" }, to: { status: "error", finding: "config-not-rejected" } },
    };
    const stateOf = (versions: string, kind: "config-not-rejected" | "selects-a-pod") =>
      statesOf(find([on(versions, [inError(kind)])], { known: [accepted] }), "a/b");
    assert.deepEqual(stateOf("1.30-1@1.40.0", "config-not-rejected"), ["known"]);
    assert.deepEqual(stateOf("1.30-1@1.40.0", "selects-a-pod"), ["error"]);
    assert.deepEqual(stateOf("1.31.0@1.40.0", "config-not-rejected"), ["error"]);
  });

  it("takes the newest result of each scenario, and says since which run it has its state", () => {
    const runs = [[passes("a/b"), fails("a/c")], [passes("a/b"), passes("a/c")], [fails("a/b")], [fails("a/b")]];
    const { rows } = find(runs.map((scenarios) => on("1.31.0@1.40.0", scenarios)));
    const [b, c] = ["a/b", "a/c"].map((id) => rows.find((row) => row.scenario === id)?.cells[0]);
    assert.deepEqual([b?.state, b?.run, b?.since, b?.before], ["failed", 3, 2, "passed"]);
    assert.deepEqual([c?.state, c?.run, c?.since, c?.before], ["passed", 1, 1, "failed"]);
  });

  it("does not count what an interrupted run did not begin", () => {
    const begun = scenario("a/c", {
      status: "error",
      steps: [],
      findings: [{ kind: "not-finished", because: "interrupted" }],
    });
    const found = find([on("1.31.0@1.40.0", [passes("a/b"), begun], { interrupted: true })]);
    assert.deepEqual(
      found.rows.map((row) => row.scenario),
      ["a/b"],
    );
    assert.equal(matrixExitCode(found), 3);
  });

  it("does not call it a change between versions that a check flaked with one", () => {
    const flaked = scenario("a/b", {
      status: "flaky",
      steps: [step("s", { status: "flaky", checks: [check("c", { status: "flaky" })] })],
    });
    const found = find([on("1.31.0@1.36.0", [flaked]), on("1.31.0@1.38.0", [passes("a/b")])]);
    assert.deepEqual(statesOf(found, "a/b"), ["flaky", "passed"]);
    assert.deepEqual(found.steps[0]?.changes, []);
  });

  it("has a column for a version that could not be run", () => {
    const problem = { code: "ERR_COMPONENT", message: "no registry" };
    const found = find([on("1.31.0@1.40.0", [passes("a/b")])], {
      missing: [{ asked: "1.29.2", istio: "1.29.2", problem }],
    });
    assert.deepEqual([found.columns[0]?.asked, found.columns[0]?.problem], ["1.29.2", problem]);
    assert.deepEqual(statesOf(found, "a/b"), ["not-run", "passed"]);
    assert.equal(matrixExitCode(found), 3);
  });

  it("compares neighbours, and knows which changes are known", () => {
    const steps = [step("s", { checks: [check("c", { expected: expectation(403), got: answer(403) })] })];
    const denied = (id: string): ScenarioResult => scenario(id, { steps });
    const runs = [
      on("1.31.0@1.36.0", [fails("authz/x"), fails("a/c"), skipped("a/d")]),
      on("1.31.0@1.38.0", [denied("authz/x"), denied("a/c"), passes("a/d")]),
    ];
    const [pair, ...more] = find(runs, { known: [fixed] }).steps;
    assert.deepEqual([pair?.from, pair?.to, more.length], [0, 1, 0]);
    assert.deepEqual(
      pair?.changes.map((change) => [change.scenario, change.known?.id]),
      [
        ["authz/x", "fixed"],
        ["a/c", undefined],
      ],
    );
  });
});

describe("the neighbours of a version", () => {
  const columns = (...pairs: string[]) =>
    pairs.map((pair) => ({ versions: { istio: pair.split("@")[0]!, envoy: pair.split("@")[1]! } }));
  it("differ in one of Istio and Envoy", () => {
    assert.deepEqual(neighboursOf(columns("1.30@1.36", "1.30@1.40", "1.31@1.36", "1.31@1.40")), [
      [0, 1],
      [0, 2],
      [1, 3],
      [2, 3],
    ]);
  });
  it("are those beside it where both differ", () => {
    assert.deepEqual(neighboursOf(columns("1.29@1.35", "1.30@1.36", "1.31@1.40")), [
      [0, 1],
      [1, 2],
    ]);
  });
});
