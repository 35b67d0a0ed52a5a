import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import type { ScenarioResult, Status } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { loadScenarios } from "../scenario/index.ts";
import { sentence } from "../../reports/words.ts";
import { gatherRun, type RunFacts } from "./record.ts";
import { unrun } from "./scenario.ts";
import { inRunOrder } from "./plan.ts";
import { workloadsOf } from "../scenario/workloads.ts";

const root = path.join(import.meta.dirname, "../../scenarios");

const facts = {
  ...{ plan: { runId: "r", startedAt: 0 }, handle: { info: { kind: "existing" } }, tool: { version: "1" } },
  ...{ skipped: {}, refused: {}, command: "meshproof run", meshReadyAt: 1, workloadsReadyAt: 2 },
} as unknown as RunFacts;

describe("the result of a run", async () => {
  const { scenarios } = await loadScenarios(root);
  const [one, two, three] = inRunOrder(scenarios) as [Scenario, Scenario, Scenario];
  const ran = (scenario: Scenario, status: Status): ScenarioResult => ({
    ...unrun(scenario, status, []),
    ...{ startedAt: new Date(1000).toISOString(), durationMs: 500 },
    steps: [{ checks: [], asked: [], timing: { totalMs: 100 } }] as unknown as ScenarioResult["steps"],
  });
  const statusesOf = (...args: Parameters<typeof gatherRun>): unknown =>
    gatherRun(...args).scenarios.map(({ id, status, reason }) => [id, status, reason]);

  it("says why a scenario is skipped or refused, after those that ran", () => {
    const position = { file: "a/b.yaml", line: 1, column: 1 };
    const refusal = { position, object: "Kind foo/x", message: "no such field" };
    const found = statusesOf(
      { ...facts, skipped: { [one.id]: { kind: "no-gateway" } }, refused: { [two.id]: [refusal] } },
      [one, two, three],
      new Map([[three.id, { results: [ran(three, "passed")] }]]),
      {},
    );
    assert.deepEqual(found, [
      [three.id, "passed", ""],
      [two.id, "error", "a/b.yaml:1:1 the API server rejected Kind foo/x: no such field"],
      [one.id, "skipped", sentence({ kind: "no-gateway" })],
    ]);
  });

  it("has the worst of several times, and an error where a scenario did not come to its end", () => {
    const results = [ran(one, "passed"), ran(one, "failed"), ran(one, "passed")];
    const recorded = new Map([
      [one.id, { results }],
      [two.id, { results: [], complaint: "worker process exited" }],
    ]);
    assert.deepEqual(statusesOf(facts, [one, two, three], recorded, {}), [
      [one.id, "failed", ""],
      [two.id, "error", "it did not run to its end; Playwright says: worker process exited"],
      [three.id, "error", sentence({ kind: "not-finished", because: "not-begun" })],
    ]);
  });

  it("keeps the reason of a scenario that could not run before the run was interrupted", () => {
    const at = Date.now() - 60_000;
    const complaint = "httpbin is not ready";
    const recorded = new Map([
      [one.id, { results: [], complaint, endedAt: at - 1 }],
      [two.id, { results: [], complaint: "the test was interrupted", endedAt: at + 1 }],
    ]);
    assert.deepEqual(statusesOf(facts, [one, two], recorded, { interruption: { at, message: "interrupted" } }), [
      [one.id, "error", "it did not run to its end; Playwright says: httpbin is not ready"],
      [two.id, "error", sentence({ kind: "not-finished", because: "interrupted" })],
    ]);
  });

  it("excuses known failures last, by the day on which the run began, and notes those that pass now", () => {
    const [late, good] = [ran(one, "failed"), ran(two, "passed")].map(({ findings: _, ...rest }) => rest);
    const checks = [{ name: "c", status: "failed", request: {}, expected: {}, got: {}, findings: [] }];
    const steps = [{ ...late!.steps[0]!, name: "s", checks }] as unknown as ScenarioResult["steps"];
    const recorded = new Map([
      [one.id, { results: [{ ...late!, steps }] }],
      [two.id, { results: [good!] }],
    ]);
    const by = { owner: "mesh-team", reason: "slow", expires: "1970-01-01" };
    const known = [one, two].map(({ id }) => ({ ...by, scenario: id, at: "known.yaml:2" }));
    const result = gatherRun({ ...facts, known }, [one, two], recorded, {});
    assert.deepEqual(
      result.scenarios.map(({ status }) => status),
      ["known-failure", "passed"],
    );
    assert.equal(result.counts["known-failure"], 1);
    assert.deepEqual(
      result.notes?.map((note) => note.kind === "known-failure-note" && [note.scenario, note.state]),
      [[two.id, "matches-nothing"]],
    );
  });

  it("leaves out the last moments of an interrupted run where nothing looked for deaths", () => {
    const recorded = new Map([[one.id, { results: [ran(one, "passed")] }]]);
    const interruption = { at: 2000, message: "interrupted" };
    const last = { pods: { at: 2600, pods: [] } };
    const reason = "it did not run to its end: the run was interrupted";
    assert.deepEqual(statusesOf(facts, [one], recorded, { interruption }), [[one.id, "error", reason]]);
    assert.deepEqual(statusesOf(facts, [one], recorded, { interruption, last }), [[one.id, "passed", ""]]);
  });
});

describe("the documented scenarios", async () => {
  const { scenarios } = await loadScenarios(root);
  const find = (id: string): (typeof scenarios)[number] => {
    const found = scenarios.find((s) => s.id === id);
    assert.ok(found, id);
    return found;
  };

  it("stand together by mesh setting, Istio's default first", () => {
    const settings = inRunOrder(scenarios).map((s) => s.mesh.jwksFetch ?? "istiod");
    assert.deepEqual(
      settings.filter((s, i) => s !== settings[i - 1]),
      ["istiod", "envoy", "hybrid"],
    );
  });

  it("bring the workloads that their places and servers imply", () => {
    assert.deepEqual(workloadsOf([find("paths/skip-jwt-for-paths")]), ["bookinfo", "outside"]);
    assert.deepEqual(workloadsOf([find("jwt/jwks-outside-http")]), ["httpbin", "outside-host", "sleep"]);
  });
});
