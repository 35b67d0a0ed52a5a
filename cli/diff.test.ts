import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { comparisonFile } from "../harness/model/comparison.ts";
import type { RunResult } from "../harness/model/result.ts";
import { allPassed, attacks, hostile } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { formatJson } from "../reports/json.ts";
import { meshproof } from "./meshproof.fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

const diff = (...args: string[]) => meshproof(["diff", ...args], { cwd: folder });

function write(name: string, result: RunResult | string): string {
  mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, name, "results.json"), typeof result === "string" ? result : formatJson(result));
  return name;
}

/** The same run, but its first passing check got 403. */
function broken(): RunResult {
  const run = JSON.parse(formatJson(allPassed())) as RunResult;
  const check = run.scenarios[0]?.steps[0]?.checks[0] as { got: object; status: string };
  check.got = { ...check.got, status: 403, by: "authorization" };
  check.status = "failed";
  (run.scenarios[0] as { status: string }).status = "failed";
  const counts = { ...run.counts, passed: run.counts.passed - 1, failed: 1 };
  return { ...run, id: "20261126-000000-broken", counts };
}

describe("meshproof diff", () => {
  const good = write("good", allPassed());
  const bad = write("bad", broken());

  it("finds no change between a run and itself, by folder and by file", async () => {
    const { stdout, exitCode } = await diff(good, path.join(good, "results.json"));
    assert.equal(exitCode, 0);
    assert.match(stdout, /^no change, \d+ the same$/m);
  });

  it("ends with 1 for an unexpected change and names the cell, its file and the meaning", async () => {
    const { stdout, exitCode } = await diff(good, bad);
    assert.equal(exitCode, 1);
    assert.match(stdout, /scenario\.yaml:\d+\)/);
    assert.match(
      stdout,
      /200 from workload, passed.* -> 403 from authorization, failed.*\[was admitted, is refused now\]/,
    );
    assert.match(stdout, /^1 unexpected change, /m);
  });

  it("prints the same as JSON and as Markdown, and writes files", async () => {
    const { stdout, exitCode } = await diff(good, bad, "--json", "--out", "out");
    assert.equal(exitCode, 1);
    const comparison = comparisonFile.parse(JSON.parse(stdout));
    assert.equal(comparison.changes.length, 1);
    assert.deepEqual(JSON.parse(readFileSync(path.join(folder, "out", "diff.json"), "utf8")), comparison);
    assert.match(readFileSync(path.join(folder, "out", "diff.html"), "utf8"), /1 unexpected change/);
    assert.match((await diff(good, bad, "--markdown")).stdout, /^## meshproof diff: 1 unexpected change/);
  });

  it("expects changes that a list of known changes explains", async () => {
    const run = write("other-envoy", {
      ...broken(),
      cluster: { ...allPassed().cluster, versions: { ...allPassed().cluster.versions, envoy: "1.99.0" } },
    });
    writeFileSync(
      path.join(folder, "known.yaml"),
      `changes:\n  - { id: x, sentence: It refuses now., source: release notes, versions: { envoy: { since: "1.99.0" } }, cells: [{ scenario: "*" }], from: { answer: 200 }, to: { answer: 403 } }\n`,
    );
    assert.equal((await diff(good, run)).exitCode, 1);
    const { stdout, exitCode } = await diff(good, run, "--known-changes", "known.yaml");
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /known {2}It refuses now\. \(release notes\)/);
    assert.match(stdout, /^1 change, all of them known/m);
  });

  it("shows hostile text as text", async () => {
    const before = write("hostile", hostile());
    const { stdout } = await diff(good, before, "--out", "hostile-out");
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/);
    const page = readFileSync(path.join(folder, "hostile-out", "diff.html"), "utf8");
    for (const attack of Object.values(attacks)) if (/</.test(attack)) assert.ok(!page.includes(attack), attack);
    assert.equal(page.match(/<script/g)?.length, 1);
  });

  for (const [what, content, message] of [
    ["is missing", undefined, /nowhere cannot be read: it does not exist\n {2}name a run's folder/],
    ["is not JSON", "{", /results\.json is not JSON: /],
    ["is no result", "{}", /is not what a run found: it has no schemaVersion/],
    ["has another schema version", '{"schemaVersion":3}', /has schemaVersion 3, expected 2/],
    ["is damaged", '{"schemaVersion":2}', /is damaged: it\/\w+ is missing/],
    [
      "judged nothing",
      formatJson({
        ...redRun(),
        scenarios: [],
        counts: { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 },
      }),
      /is of a run that judged nothing/,
    ],
    ["lost scenarios", formatJson({ ...allPassed(), scenarios: [] }), /is damaged: it counts \d+ passed, and holds 0/],
  ] as const)
    it(`refuses a side that ${what}`, async () => {
      const side = content === undefined ? "nowhere" : write(`side ${what}`, content);
      for (const sides of [
        [good, side],
        [side, good],
      ] as const) {
        const { stderr, stdout, exitCode } = await diff(...sides);
        assert.equal(exitCode, 2);
        assert.equal(stdout, "");
        assert.match(stderr, message);
      }
    });

  it("refuses a single side, two formats at once and a wrong list", async () => {
    assert.equal((await diff(good)).exitCode, 2);
    assert.equal((await diff(good, bad, "--json", "--markdown")).exitCode, 2);
    writeFileSync(path.join(folder, "wrong.yaml"), "changes: 7\n");
    const { stderr, exitCode } = await diff(good, bad, "--known-changes", "wrong.yaml");
    assert.equal(exitCode, 2);
    assert.match(stderr, /wrong\.yaml:1:10 changes must be a list/);
  });
});
