import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import type { RunResult, Status } from "../harness/model/result.ts";
import { findTrend } from "../harness/trend/trend.ts";
import { trendFile } from "../harness/model/trend.ts";
import { allPassed, attacks, check, hostile, run, scenario, step } from "../test/recorded/change.ts";
import { formatJson } from "../reports/json.ts";
import { meshproof } from "./meshproof.fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

const trend = (...args: string[]) => meshproof(["trend", ...args], { cwd: folder });

/** The run of a day, in which the checks `a`, `b`, … have these statuses. */
function day(number: number, statuses: readonly (Status | undefined)[], changes: Partial<RunResult> = {}): RunResult {
  const checks = statuses.flatMap((status, i) =>
    status === undefined
      ? []
      : [
          check("abcdef"[i] ?? "", {
            status,
            enforcedMs: 100 * (i + 1),
            ...(status === "passed" ? {} : { reason: "because" }),
          }),
        ],
  );
  const worst = (["failed", "flaky", "passed"] as const).find((status) => statuses.includes(status)) ?? "skipped";
  return run([scenario("jwt/x", { status: worst, steps: [step("s", { checks, status: worst })] })], {
    id: `run-${number}`,
    startedAt: `2026-11-0${number}T02:00:00.000Z`,
    ...changes,
  });
}

function place(results: readonly RunResult[]) {
  return results.map((result) => ({ folder: result.id, result }));
}

describe("a trend", () => {
  it("reports since when a check has not passed, and when it passed last", () => {
    const found = findTrend(
      place([
        day(4, ["passed", "failed", "passed", "flaky"]),
        day(1, ["passed", "failed", "failed", "failed"]),
        day(3, ["failed", "failed", "failed", "failed"]),
        day(2, ["passed", "passed", "failed", "failed"]),
      ]),
    );
    assert.deepEqual(
      found.runs.map((each) => each.run),
      ["run-1", "run-2", "run-3", "run-4"],
    );
    assert.deepEqual(
      found.failing.map((each) => [each.check, each.since.run, each.lastPassed?.run, each.runs, each.status]),
      [
        ["d", "run-1", undefined, 4, "flaky"],
        ["b", "run-3", "run-2", 2, "failed"],
      ],
    );
    assert.deepEqual(found.failing[1]?.history, ["failed", "passed", "failed", "failed"]);
  });

  it("keeps checks that a later run did not judge, and drops those that a later run no longer has", () => {
    const kept = findTrend(
      place([
        day(1, ["failed"]),
        day(2, []),
        run([scenario("other/one")], { id: "run-3", startedAt: "2026-11-03T00:00:00.000Z" }),
      ]),
    );
    assert.deepEqual(
      kept.failing.map((each) => [each.check, each.since.run, each.history]),
      [["a", "run-1", ["failed", "absent", "absent"]]],
    );
    assert.deepEqual(findTrend(place([day(1, ["failed", "passed"]), day(2, [undefined, "passed"])])).failing, []);
  });

  it("does not count a known failure as failing", () => {
    assert.deepEqual(findTrend(place([day(1, ["failed"]), day(2, ["known-failure"])])).failing, []);
  });

  it("measures the time to enforce of checks that agreed", () => {
    const [point] = findTrend(place([day(1, ["passed", "passed", "passed", "failed"])])).runs;
    assert.deepEqual(point?.enforced, { medianMs: 200, p95Ms: 300 });
    assert.equal(findTrend(place([day(1, ["failed"])])).runs[0]?.enforced, undefined);
  });
});

describe("meshproof trend", () => {
  const write = (name: string, text: string): void => {
    mkdirSync(path.join(folder, name), { recursive: true });
    writeFileSync(path.join(folder, name, "results.json"), text);
  };

  it("prints a table, and writes a page that links each run's report, and JSON", async () => {
    const { versions } = allPassed().cluster;
    const cluster = { ...allPassed().cluster, versions: { ...versions, istio: "1.99.0" } };
    write("runs/one", formatJson(day(1, ["passed", "passed"])));
    write("runs/two", formatJson(day(2, ["failed", "passed"], { cluster })));
    write("runs/damaged", "{");
    mkdirSync(path.join(folder, "runs", "empty"));
    // A reproduced ticket is not a run.
    mkdirSync(path.join(folder, "runs", "ticket"));
    writeFileSync(path.join(folder, "runs", "ticket", "repro.json"), "{}");
    const { stdout, exitCode } = await trend("runs", "--out", "runs");
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /failed since 2026-11-02 \(run-2\), 1 run, passed last in run-1\n {4}why {2}because/);
    assert.match(stdout, /Istio 1\.31\.0 -> 1\.99\.0/);
    assert.match(stdout, /^left out: .*damaged.results\.json is not JSON/m);
    assert.equal(stdout.match(/left out/g)?.length, 1);
    assert.match(stdout, /^1 check failing in the latest of 2 runs, the oldest since 2026-11-02$/m);
    const page = readFileSync(path.join(folder, "runs", "trend.html"), "utf8");
    assert.match(page, /<a href="two\/report\.html">run-2<\/a>/);
    assert.equal(page.match(/<polyline/g)?.length, 3);
    const json = trendFile.parse(JSON.parse(readFileSync(path.join(folder, "runs", "trend.json"), "utf8")));
    assert.equal(json.failing[0]?.since.run, "run-2");
    assert.deepEqual(JSON.parse((await trend("runs", "--json")).stdout), json);
  });

  it("shows hostile text as text", async () => {
    write("hostile/one", formatJson(hostile()));
    const { stdout } = await trend("hostile", "--out", "hostile");
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/);
    const page = readFileSync(path.join(folder, "hostile", "trend.html"), "utf8");
    for (const attack of Object.values(attacks)) if (/</.test(attack)) assert.ok(!page.includes(attack), attack);
    assert.equal(page.match(/<script/g)?.length, 1);
    assert.doesNotMatch(page, /style="/);
  });

  it("refuses a folder without runs, and a missing one", async () => {
    mkdirSync(path.join(folder, "none"));
    for (const [name, message] of [
      ["none", /none holds no run that judged anything/],
      ["nowhere", /nowhere cannot be read/],
    ] as const) {
      const { stderr, exitCode } = await trend(name);
      assert.equal(exitCode, 2);
      assert.match(stderr, message);
    }
  });
});
