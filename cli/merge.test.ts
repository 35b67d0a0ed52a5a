import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import type { RunResult, ScenarioResult } from "../harness/model/result.ts";
import { selectionOf } from "../harness/shards.ts";
import { allPassed, run, scenario, redScenario } from "../test/recorded/change.ts";
import { formatJson } from "../reports/json.ts";
import { readScenarios, SCENARIOS } from "./context.ts";
import { meshproof as runHere } from "./meshproof.fixture.ts";
import { onlyFailed } from "./verbs/run.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

const meshproof = (...args: string[]) => runHere(args, { cwd: folder });

function write(name: string, result: RunResult): string {
  mkdirSync(path.join(folder, name), { recursive: true });
  writeFileSync(path.join(folder, name, "results.json"), formatJson(result));
  return name;
}

const broken = { ...redScenario("paths/skip-jwt-for-paths"), id: "jwt/broken" };
const selection = selectionOf([...allPassed().scenarios, broken]);
const shard = (index: number) => ({ index, count: 2, selection });
const one = write("one", { ...allPassed(), id: "one", shard: shard(1) });
const two = write("two", run([broken], { id: "two", shard: shard(2) }));

describe("meshproof merge", () => {
  it("writes every report, and ends with the exit code of the worst part", async () => {
    const { stdout, exitCode } = await meshproof("merge", two, one, "--out", "merged");
    assert.equal(exitCode, 1, stdout);
    for (const name of ["report.html", "results.json", "junit.xml", "ctrf.json", "conformance.yaml", "summary.md"])
      assert.ok(existsSync(path.join(folder, "merged", name)), name);
    const merged = JSON.parse(readFileSync(path.join(folder, "merged", "results.json"), "utf8")) as RunResult;
    assert.equal(merged.scenarios.length, allPassed().scenarios.length + 1);
    assert.match(stdout, /merged from the runs one, two/);
    // The written files can be read again.
    assert.equal((await meshproof("diff", "merged", "merged")).exitCode, 0);
  });

  it("ends with 2 if a shard is missing or named twice, and writes nothing", async () => {
    const three = write("three", run([scenario("jwt/x")], { shard: { index: 1, count: 3, selection: "s" } }));
    const four = write("four", run([scenario("jwt/y")], { shard: { index: 3, count: 3, selection: "s" } }));
    const missing = await meshproof("merge", three, four, "--out", "nothing");
    assert.equal(missing.exitCode, 2);
    assert.match(missing.stderr, /^error: missing: shard 2\/3$/m);
    const twice = await meshproof("merge", one, one, two, "--out", "nothing");
    assert.equal(twice.exitCode, 2);
    assert.match(twice.stderr, /^error: shard 1\/2 is there twice, the second time in one$/m);
    assert.ok(!existsSync(path.join(folder, "nothing")));
  });

  it("ends with 2 if a part's counts do not match its scenarios, for any status", async () => {
    for (const status of ["error", "skipped", "known-failure"] as const) {
      const parts = [scenario("jwt/x"), scenario("jwt/y", { status, reason: "r", steps: [] })];
      const { counts, ...rest } = run(parts, { id: "edited" });
      const edited = write("edited", { ...rest, counts: { ...counts, [status]: 0 } });
      const { exitCode, stderr } = await meshproof("merge", edited, one, "--out", "nothing");
      assert.equal(exitCode, 2, status);
      assert.match(stderr, new RegExp(`is damaged: it counts 0 ${status}, and holds 1$`, "m"));
    }
  });

  it("ends with 2 if all parts are empty, with the reasons", async () => {
    const skipped = scenario("jwt/skipped", { status: "skipped", reason: "it needs a gateway", steps: [] });
    const part = (index: number, scenarios: ScenarioResult[]): string =>
      write(`empty-${index}`, run(scenarios, { shard: { index, count: 2, selection: selectionOf([skipped]) } }));
    const { exitCode, stderr } = await meshproof("merge", part(1, [skipped]), part(2, []), "--out", "nothing");
    assert.equal(exitCode, 2);
    assert.match(stderr, /nothing was judged in any of the runs\n.*jwt\/skipped: it needs a gateway/);
  });
});

describe("meshproof run", () => {
  it("repeats only scenarios that failed, flaked or ended with an error", async () => {
    const all = await readScenarios(SCENARIOS, ["jwt/*"], []);
    const statuses = ["failed", "passed", "flaky", "skipped", "error", "known-failure"] as const;
    const before = run(statuses.map((status, i) => scenario(all[i]?.id ?? "", { status, steps: [] })));
    const place = path.join(folder, write("mixed", before));
    const again = await onlyFailed(all, place, { all, ignoreMissing: false, tell: () => undefined });
    assert.deepEqual(
      again.map(({ id }) => id),
      [0, 2, 4].map((i) => all[i]?.id),
    );
  });

  it("repeats nothing if nothing failed", async () => {
    const { stdout, exitCode } = await meshproof("run", "--rerun-failed", one);
    assert.equal(exitCode, 0);
    assert.match(stdout, /^nothing that was selected failed in one: there is nothing to run again$/);
  });

  it("refuses scenarios that no longer exist, a run that judged nothing, and a wrong shard", async () => {
    const gone = await meshproof("run", "--rerun-failed", two);
    assert.equal(gone.exitCode, 2);
    assert.match(gone.stderr, /jwt\/broken has the status failed in two, and there is no such scenario now/);
    const narrowed = await meshproof("run", "authz/*", "--rerun-failed", two);
    assert.equal(narrowed.exitCode, 2, narrowed.stdout);
    assert.match(narrowed.stderr, /jwt\/broken has the status failed in two[\s\S]*--ignore-missing/);
    const ignored = await meshproof("run", "authz/*", "--rerun-failed", two, "--ignore-missing");
    assert.equal(ignored.exitCode, 0, ignored.stderr);
    assert.match(ignored.stdout, /there is nothing to run again/);
    assert.match(ignored.stderr, /jwt\/broken failed there and is no longer a scenario: it is left out/);
    const alone = await meshproof("run", "--ignore-missing");
    assert.equal(alone.exitCode, 2);
    assert.match(alone.stderr, /--ignore-missing says what --rerun-failed leaves out/);
    const nothing = await meshproof("run", "--rerun-failed", write("nothing-judged", run([])));
    assert.equal(nothing.exitCode, 2);
    assert.match(nothing.stderr, /judged nothing/);
    const wrong = await meshproof("run", "--shard", "3/2");
    assert.equal(wrong.exitCode, 2);
    assert.match(wrong.stderr, /--shard takes i\/n, such as 2\/4, not "3\/2"/);
  });
});
