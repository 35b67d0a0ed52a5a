import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { allPassed, everyStatus, run, scenario } from "../reports/fixture.ts";
import type { RunResult } from "../harness/result.ts";
import { loadScenarios } from "../harness/scenario/index.ts";
import { mergeRuns, noteOf, parseShard, takeShard } from "../harness/shards.ts";

const { scenarios } = await loadScenarios(path.join(import.meta.dirname, "../scenarios"));
const part = (index: number, count: number, ids: readonly string[], changes: Partial<RunResult> = {}) => ({
  place: `part-${index}`,
  result: run(
    ids.map((id) => scenario(id)),
    { id: `run-${index}`, shard: { index, count, selection: "s" }, ...changes },
  ),
});
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

  it("keeps scenarios with one mesh setting together, and shares the steps out evenly", () => {
    const count = 4;
    const parts = Array.from({ length: count }, (_, i) => takeShard(scenarios, { index: i + 1, count }).scenarios);
    const changes = parts.flatMap((each) => [...new Set(each.map(({ mesh }) => JSON.stringify(mesh)))]).length;
    const settings = new Set(scenarios.map(({ mesh }) => JSON.stringify(mesh))).size;
    assert.ok(changes <= settings + count - 1, `${changes} settings in all parts, ${settings} there are`);
    const steps = parts.map((each) => each.reduce((sum, one) => sum + one.steps.length, 0));
    const longest = Math.max(...scenarios.map((one) => one.steps.length));
    assert.ok(Math.max(...steps) - Math.min(...steps) <= 2 * longest, steps.join(" "));
  });

  it("is of another selection where a scenario is missing", () => {
    const other = takeShard(scenarios.slice(1), { index: 1, count: 2 });
    assert.notEqual(other.shard.selection, takeShard(scenarios, { index: 1, count: 2 }).shard.selection);
  });

  it("is empty where there are more of them than scenarios", () => {
    const parts = [1, 2, 3, 4].map((index) => takeShard(scenarios.slice(0, 2), { index, count: 4 }));
    assert.deepEqual(
      parts.map((each) => each.scenarios.length),
      [1, 1, 0, 0],
    );
    assert.equal(new Set(parts.map(({ shard }) => shard.selection)).size, 1);
  });

  it("is refused where it is no i/n", () => {
    for (const text of ["", "0/2", "3/2", "1", "1/2/3", "a/b", "-1/2", "1/0"])
      assert.throws(() => parseShard(text), message(/--shard takes i\/n/), text);
    assert.deepEqual(parseShard("2/4"), { index: 2, count: 4 });
  });
});

describe("merged runs", () => {
  it("have all scenarios in the order of the shards, counts added, and say where they come from", () => {
    const shard = { index: 1, count: 2, selection: "s" };
    const a = { ...everyStatus(), id: "a", shard, notes: [noteOf(shard) ?? "", "kept"] };
    const b = part(2, 2, ["other/one"], { command: "meshproof run --shard 2/2" });
    const merged = mergeRuns([b, { place: "a", result: { ...a, command: "meshproof run --shard 1/2" } }], "new");
    assert.deepEqual(
      merged.scenarios.map(({ id }) => id),
      [...a.scenarios.map(({ id }) => id), "other/one"],
    );
    assert.equal(merged.counts.failed, a.counts.failed + b.result.counts.failed);
    assert.equal(merged.counts.passed, a.counts.passed + b.result.counts.passed);
    assert.equal(merged.command, "meshproof run");
    assert.deepEqual(merged.notes, ["merged from the runs a, run-2", "kept"]);
    assert.equal(merged.shard, undefined);
  });

  it("are refused where a shard is missing, and it is named", () => {
    assert.throws(() => mergeRuns([part(1, 3, ["a/a"]), part(3, 3, ["c/c"])], "x"), message(/^missing: shard 2\/3$/));
  });

  it("are refused where they do not belong together", () => {
    const a = part(1, 2, ["a/a"]);
    const { cluster } = a.result;
    const versions = { ...cluster.versions, envoy: "1.36.0" };
    for (const [other, pattern] of [
      [part(2, 2, ["a/a"]), /a\/a is in part-1 and in part-2/],
      [part(2, 2, ["b/b"], { cluster: { ...cluster, versions } }), /differ in envoy: 1\.40\.0 in part-1, 1\.36\.0/],
      [part(2, 2, ["b/b"], { tool: { name: "meshproof", version: "9" } }), /differ in meshproof/],
      [part(2, 3, ["b/b"]), /not of the same selection/],
      [part(2, 2, ["b/b"], { shard: { index: 2, count: 2, selection: "t" } }), /not of the same selection/],
      [{ place: "whole", result: allPassed() }, /whole is no shard/],
    ] as const)
      assert.throws(() => mergeRuns([a, other], "x"), message(pattern));
    assert.throws(() => mergeRuns([a], "x"), message(/whole already/));
  });
});
