import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { allPassed, run, scenario } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import type { Scenario } from "../harness/model/scenario.ts";
import type { RunResult, ScenarioResult } from "../harness/model/result.ts";
import { exitCode } from "../reports/index.ts";
import { loadScenarios } from "../harness/scenario/index.ts";
import { mergeRuns, parseShard, runSetOf, selectionOf, takeShard } from "../harness/shards.ts";

const { scenarios } = await loadScenarios(path.join(import.meta.dirname, "../scenarios"));
/** The selection of a/a, b/b and c/c. */
const selection = selectionOf(["a/a", "b/b", "c/c"].map((id) => scenario(id)));
const part = (index: number, count: number, ids: readonly string[], changes: Partial<RunResult> = {}) => ({
  place: `part-${index}`,
  result: run(
    ids.map((id) => scenario(id)),
    { id: `run-${index}`, shard: { index, count, selection }, ...changes },
  ),
});
const INPUTS = { scenarios: "5ce0", profile: "istio", knownFailures: "f11e", runSet: "github a/b 1" };
const message = (pattern: RegExp) => ({ code: "ERR_USAGE", message: pattern });

describe("a shard", () => {
  for (const count of [1, 2, 3, 7, scenarios.length])
    it(`${count} of them hold every scenario once, none is empty, and the order of the scenarios does not matter`, () => {
      const parts = Array.from({ length: count }, (_, i) => takeShard(scenarios, { index: i + 1, count }));
      const ids = parts.flatMap((each) => each.scenarios.map(({ id }) => id));
      assert.deepEqual(ids.toSorted(), scenarios.map(({ id }) => id).toSorted());
      assert.ok(parts.every((each) => each.scenarios.length > 0));
      assert.equal(new Set(parts.map(({ shard }) => shard.selection)).size, 1);
      const reversed = takeShard([...scenarios].reverse(), { index: 1, count });
      assert.deepEqual(reversed, parts[0]);
    });

  it("keeps scenarios with one mesh setting together, and distributes the steps evenly", () => {
    const count = 4;
    const parts = Array.from({ length: count }, (_, i) => takeShard(scenarios, { index: i + 1, count }).scenarios);
    const settingOf = ({ mesh: { jwksFetch = "istiod", pathNormalization = "BASE" } }: Scenario): string =>
      `${jwksFetch} ${pathNormalization}`;
    const changes = parts.flatMap((each) => [...new Set(each.map(settingOf))]).length;
    const settings = new Set(scenarios.map(settingOf)).size;
    assert.ok(changes <= settings + count - 1, `${changes} settings in all parts, ${settings} there are`);
    const steps = parts.map((each) => each.reduce((sum, one) => sum + one.steps.length, 0));
    const longest = Math.max(...scenarios.map((one) => one.steps.length));
    assert.ok(Math.max(...steps) - Math.min(...steps) <= 2 * longest, steps.join(" "));
  });

  it("is of another selection if a scenario is missing", () => {
    const other = takeShard(scenarios.slice(1), { index: 1, count: 2 });
    assert.notEqual(other.shard.selection, takeShard(scenarios, { index: 1, count: 2 }).shard.selection);
  });

  it("is empty if there are more shards than scenarios", () => {
    const parts = [1, 2, 3, 4].map((index) => takeShard(scenarios.slice(0, 2), { index, count: 4 }));
    assert.deepEqual(
      parts.map((each) => each.scenarios.length),
      [1, 1, 0, 0],
    );
    assert.equal(new Set(parts.map(({ shard }) => shard.selection)).size, 1);
  });

  it("is refused if it is not i/n", () => {
    for (const text of ["", "0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", "1/0"])
      assert.throws(() => parseShard(text), message(/--shard takes i\/n/), text);
    assert.deepEqual(parseShard("2/4"), { index: 2, count: 4 });
  });
});

const KEPT = { kind: "recorded", text: "kept" } as const;

describe("merged runs", () => {
  it("have all scenarios in the order of the shards, added counts, and the names of the shards", () => {
    const own = selectionOf([...redRun().scenarios, scenario("other/one")]);
    const shard = { index: 1, count: 2, selection: own };
    const a = { ...redRun(), id: "a", shard, notes: [KEPT] };
    const second = {
      command: "meshproof run --shard 2/2",
      inputs: redRun().inputs!,
      shard: { ...shard, index: 2 },
    };
    const b = part(2, 2, ["other/one"], second);
    const merged = mergeRuns([b, { place: "a", result: { ...a, command: "meshproof run --shard 1/2" } }], "new");
    assert.deepEqual(
      merged.scenarios.map(({ id }) => id),
      [...a.scenarios.map(({ id }) => id), "other/one"],
    );
    assert.equal(merged.counts.failed, a.counts.failed + b.result.counts.failed);
    assert.equal(merged.counts.passed, a.counts.passed + b.result.counts.passed);
    assert.equal(merged.command, "meshproof run --shard 1/2 && meshproof run --shard 2/2");
    assert.deepEqual(merged.notes, [{ kind: "merged", runs: ["a", "run-2"] }, KEPT]);
    assert.equal(merged.shard, undefined);
  });

  it("are refused if a shard is missing, and the error names it", () => {
    assert.throws(() => mergeRuns([part(1, 3, ["a/a"]), part(3, 3, ["c/c"])], "x"), message(/^missing: shard 2\/3$/));
  });

  it("of Playwright are one selection by its arguments: none may be missing, nor of another selection", () => {
    const of = (index: number, ids: string[], arguments_ = "s") =>
      part(index, 2, ids, { shard: { index, count: 2, selection: arguments_, of: "arguments" } });
    assert.equal(mergeRuns([of(2, ["b/b"]), of(1, ["a/a"])], "x").scenarios.length, 2);
    assert.throws(() => mergeRuns([of(1, ["a/a"]), of(1, ["b/b"])], "x"), message(/shard 1\/2 is there twice/));
    const three = [1, 3].map((index) =>
      part(index, 3, [`${index}/a`], { shard: { index, count: 3, selection: "s", of: "arguments" } }),
    );
    assert.throws(() => mergeRuns(three, "x"), message(/^missing: shard 2\/3$/));
    for (const other of [of(2, ["b/b"], "t"), part(2, 2, ["b/b"])])
      assert.throws(() => mergeRuns([of(1, ["a/a"]), other], "x"), message(/not of the same selection/));
  });

  it("are refused if they do not belong together", () => {
    const a = part(1, 2, ["a/a", "c/c"], { inputs: INPUTS });
    const { cluster } = a.result;
    const versions = { ...cluster.versions, envoy: "1.36.0" };
    const digests = { ...cluster.digests, istio: "sha256:other" };
    const last = (changes: Partial<RunResult>, ids = ["b/b"]) => part(2, 2, ids, { inputs: INPUTS, ...changes });
    const { runSet: _runSet, ...noSet } = INPUTS;
    for (const [other, pattern] of [
      [last({}, ["b/b", "a/a"]), /a\/a is in part-1 and in part-2/],
      [last({ cluster: { ...cluster, versions } }), /differ in envoy: 1\.40\.0 in part-1, 1\.36\.0/],
      [
        last({ cluster: { ...cluster, digests } }),
        /differ in the digest of istio: .* in part-1, sha256:other in part-2/,
      ],
      [last({ tool: { name: "meshproof", version: "9" } }), /differ in meshproof/],
      [last({ inputs: { ...INPUTS, scenarios: "other" } }), /differ in the scenarios' files: 5ce0 .* other/],
      [last({ inputs: { ...INPUTS, profile: "asm" } }), /differ in --profile: istio in part-1, asm/],
      [last({ inputs: { ...INPUTS, knownFailures: "other" } }), /differ in the file of --known-failures/],
      [last({ inputs: { ...INPUTS, runSet: "github a/b 2" } }), /differ in the pipeline .*: github a\/b 1 .* a\/b 2/],
      [last({ inputs: noSet }), /differ in the pipeline .*: github a\/b 1 in part-1, nothing in part-2/],
      [part(2, 2, ["b/b"]), /differ in the scenarios' files: 5ce0 in part-1, nothing in part-2/],
      [last({ shard: { index: 2, count: 3, selection } }), /not of the same selection/],
      [last({ shard: { index: 2, count: 2, selection: "t" } }), /not of the same selection/],
      [last({}, []), /hold 2 scenarios, which are not those of the selection/],
      [last({}, ["b/b", "d/d"]), /hold 4 scenarios, which are not those of the selection/],
      [{ place: "whole", result: { ...allPassed(), inputs: INPUTS } }, /whole is not a shard/],
    ] as const)
      assert.throws(() => mergeRuns([a, other], "x"), message(pattern));
    assert.throws(() => mergeRuns([a], "x"), message(/whole already/));
  });

  it("without a known pipeline must be of one day, shards or not", () => {
    const { runSet: _runSet, ...inputs } = INPUTS;
    const at = (startedAt: string) => ({ inputs, startedAt });
    const january = part(1, 2, ["a/a", "c/c"], at("2026-01-10T02:00:00.000Z"));
    const november = part(2, 2, ["b/b"], at("2026-11-10T02:00:00.000Z"));
    assert.throws(
      () => mergeRuns([november, january], "x"),
      message(/^part-1 began at 2026-01-10T.* and part-2 at 2026-11/),
    );
    const evening = part(2, 2, ["b/b"], at("2026-01-10T22:00:00.000Z"));
    assert.equal(mergeRuns([january, evening], "x").scenarios.length, 3);
    const { shard: _one, ...whole } = january.result;
    const { shard: _two, ...other } = november.result;
    const places = [
      { place: "whole", result: whole },
      { place: "other", result: other },
    ];
    assert.throws(() => mergeRuns(places, "x"), message(/more than a day apart/));
    // A job of a pipeline may be run again days later.
    const named = [january, november].map(({ place, result }) => ({ place, result: { ...result, inputs: INPUTS } }));
    assert.equal(mergeRuns(named, "x").scenarios.length, 3);
  });

  it("have the counts of their scenarios, not those in the files, and the exit code of these counts", () => {
    const broken = { place: "b", result: run([scenario("b/b", { status: "error", reason: "r", steps: [] })]) };
    const passed = part(1, 2, ["a/a"]).result;
    const { shard: _shard, ...whole } = passed;
    const edited = { ...broken, result: { ...broken.result, counts: { ...broken.result.counts, error: 0 } } };
    assert.equal(exitCode(mergeRuns([{ place: "a", result: whole }, edited], "x")), 3);
  });

  it("are refused if none of them judged anything", () => {
    const skipped = scenario("a/a", { status: "skipped", reason: "r", steps: [] });
    const of = (index: number, scenarios: ScenarioResult[]) =>
      run(scenarios, { shard: { index, count: 2, selection: selectionOf([skipped]) } });
    const runs = [of(1, [skipped]), of(2, [])].map((result, index) => ({ place: `${index}`, result }));
    assert.throws(() => mergeRuns(runs, "x"), { code: "ERR_NOTHING_SELECTED", message: /a\/a: r$/ });
  });
});

describe("a pipeline", () => {
  it("is named by the user or by its CI system", () => {
    const github = { GITHUB_ACTIONS: "true", GITHUB_REPOSITORY: "a/b", GITHUB_RUN_ID: "7", GITHUB_RUN_ATTEMPT: "2" };
    assert.equal(runSetOf(github), "github a/b 7");
    assert.equal(runSetOf({ ...github, MESHPROOF_RUN_SET: "mine" }), "mine");
    assert.equal(runSetOf({ GITLAB_CI: "true", CI_PROJECT_PATH: "a/b", CI_PIPELINE_ID: "9" }), "gitlab a/b 9");
    assert.equal(runSetOf({}), undefined);
  });
});
