import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import type { CheckResult, ScenarioResult, Status } from "../model/result.ts";
import { loadScenarios } from "../scenario/index.ts";
import { countOf, worst } from "../verdict/index.ts";
import { skipAll, type RunOptions } from "./run.ts";
import { inRunOrder } from "./plan.ts";
import { workloadsOf } from "./workloads.ts";

const root = path.join(import.meta.dirname, "../../scenarios");

const result = (status: Status, checks: Status[]): ScenarioResult =>
  ({
    status,
    steps: checks.length === 0 ? [] : [{ checks: checks.map((s) => ({ status: s }) as CheckResult), asked: [] }],
  }) as unknown as ScenarioResult;

describe("counts", () => {
  it("count checks, and a scenario that has none by its own status", () => {
    const counts = countOf([
      result("failed", ["passed", "failed", "flaky"]),
      result("skipped", []),
      result("error", ["passed"]),
    ]);
    assert.deepEqual(counts, { passed: 2, failed: 1, flaky: 1, error: 1, skipped: 1, "known-failure": 0 });
  });

  it("excuse what a known failure's checks say, and only that", () => {
    const counts = countOf([result("known-failure", ["passed", "failed"])]);
    assert.equal(counts["known-failure"], 1);
    assert.equal(counts.failed, 0);
    assert.equal(counts.passed, 1);
  });
});

it("a shard whose scenarios are all skipped has a result that says why", async () => {
  const [scenario] = (await loadScenarios(root)).scenarios;
  const found = skipAll({
    ...{ playwright: { plan: { runId: "r" } }, handle: { info: { kind: "existing" } }, startedAt: 0, meshReadyAt: 1 },
    ...{
      scenarios: [],
      skipped: [{ scenario, finding: { kind: "no-gateway" } as const }],
      command: "meshproof run",
      version: "1",
    },
  } as unknown as RunOptions);
  assert.deepEqual(
    found.scenarios.map(({ id, status, reason }) => [id, status, reason]),
    [
      [
        scenario?.id,
        "skipped",
        "this mesh has no ingress gateway that the documented policies choose (istio: ingressgateway in istio-system)",
      ],
    ],
  );
  assert.equal(found.counts.skipped, 1);
});

describe("a whole", () => {
  it("is as bad as its worst part, and an empty one is passed", () => {
    assert.equal(worst(["passed", "flaky", "failed"]), "failed");
    assert.equal(worst(["passed", "flaky"]), "flaky");
    assert.equal(worst(["failed", "error"]), "error");
    assert.equal(worst([]), "passed");
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
