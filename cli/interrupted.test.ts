/** Every reader of an interrupted run's results: scenarios that it did not finish are not known. */

import assert from "node:assert/strict";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  existsSync,
  readdirSync,
  readlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { execa } from "execa";
import { compareRuns } from "../harness/compare/compare.ts";
import { MeshproofError } from "../harness/model/errors.ts";
import { unfinishedOf, type RunResult } from "../harness/model/result.ts";
import { mergeRuns } from "../harness/shards.ts";
import { findTrend } from "../harness/trend/trend.ts";
import { allPassed, run, scenario } from "../test/recorded/change.ts";
import {
  diffExitCode,
  exitCode,
  formatAnnotations,
  formatDiff,
  formatSummary,
  formatTrend,
  pointLatest,
  tryFolder,
  writeReports,
} from "../reports/index.ts";
import { readScenarios, SCENARIOS } from "./context.ts";
import { onlyFailed } from "./verbs/run.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-interrupted-"));
after(() => rmSync(folder, { recursive: true }));

const whole = { ...allPassed(), id: "whole" };
const [done, ...rest] = whole.scenarios;
assert.ok(done !== undefined && rest.length > 0);
const reason = "the run was interrupted before its end";
const left = rest.map(({ id, title, position }) =>
  scenario(id, { title, position, status: "error", reason, steps: [] }),
);
const interrupted: RunResult = run([done, ...left], { id: "interrupted", interrupted: true, cluster: whole.cluster });

describe("results of a run that was interrupted", () => {
  it("never count as those of a complete run", () => {
    assert.deepEqual(
      unfinishedOf(interrupted).map(({ id }) => id),
      left.map(({ id }) => id),
    );
    assert.equal(exitCode(interrupted), 3);
    assert.equal(exitCode({ ...whole, interrupted: true }), 3, "also where all scenarios had ended");
  });

  it("have a note in every report", async () => {
    const dir = path.join(folder, "reports");
    const paths = await writeReports(interrupted, dir);
    const words = new RegExp(
      `this run was interrupted\\\\?: ${left.length} of ${left.length + 1} scenarios did not run to the end`,
    );
    for (const file of [paths.html, paths.markdown, paths.conformance]) assert.match(readFileSync(file, "utf8"), words);
    assert.match(formatSummary(interrupted), words);
    assert.match(formatAnnotations(interrupted)[0] ?? "", words);
    assert.match(readFileSync(paths.junit, "utf8"), /<property name="interrupted" value="true"/);
    assert.match(readFileSync(paths.ctrf, "utf8"), /"interrupted": true/);
    assert.match(readFileSync(paths.json, "utf8"), /"interrupted": true/);
    const all = { ...whole, interrupted: true as const };
    assert.doesNotMatch(formatSummary(whole), /interrupted/);
    const again = await writeReports(all, dir);
    assert.match(readFileSync(again.markdown, "utf8"), /## meshproof: interrupted, not everything was judged/);
    assert.doesNotMatch(readFileSync(again.html, "utf8"), />Conformant</);
  });

  it("are compared except for scenarios that did not run, which are neither removed nor changed", () => {
    for (const [before, next] of [
      [whole, interrupted],
      [interrupted, whole],
    ] as const) {
      const comparison = compareRuns(before, next, []);
      assert.deepEqual(
        [comparison.changes, comparison.removed, comparison.added, comparison.unexpected],
        [[], [], [], 0],
      );
      assert.deepEqual(comparison.interrupted?.scenarios, left.map(({ id }) => id).sort());
      assert.equal(diffExitCode(comparison), 3);
      assert.match(
        formatDiff(comparison),
        /no unexpected change in what was compared, .*interrupted was interrupted: \d+ scenarios? not compared/,
      );
    }
    assert.equal(diffExitCode(compareRuns(whole, whole, [])), 0);
  });

  it("do not start a failing trend", () => {
    const place = (result: RunResult, day: number) => ({
      folder: result.id,
      result: { ...result, startedAt: `2026-11-0${day}T00:00:00.000Z` },
    });
    const trend = findTrend([place(whole, 1), place(interrupted, 2)]);
    assert.deepEqual(trend.failing, []);
    assert.match(formatTrend(trend), /interrupted \(interrupted\)/);
  });

  it("stay interrupted when they are merged", () => {
    const merged = mergeRuns(
      [
        { place: "a", result: { ...run([done], { id: "a" }), cluster: whole.cluster } },
        { place: "b", result: { ...run(left, { id: "b", interrupted: true }), cluster: whole.cluster } },
      ],
      "merged",
    );
    assert.equal(merged.interrupted, true);
    assert.equal(exitCode(merged), 3);
  });

  it("are run again by --rerun-failed for the scenarios that did not run", async () => {
    const all = await readScenarios(SCENARIOS, [], []);
    const [first, second] = all;
    assert.ok(first && second);
    const result = run([{ ...done, id: first.id }, scenario(second.id, { status: "error", reason, steps: [] })], {
      interrupted: true,
    });
    const { json } = await writeReports(result, path.join(folder, "again"));
    const again = await onlyFailed(all, json, { all, ignoreMissing: false, tell: () => undefined });
    assert.deepEqual(
      again.map(({ id }) => id),
      [second.id],
    );
  });
});

describe("a results folder", () => {
  it("that cannot be written is reported before a cluster is used", async () => {
    writeFileSync(path.join(folder, "file"), "");
    const { exitCode, stderr } = await execa(
      process.execPath,
      [path.join(import.meta.dirname, "main.ts"), "run", "--results", path.join(folder, "file", "below")],
      { reject: false },
    );
    assert.equal(exitCode, 3, stderr);
    assert.match(stderr, /^error: .*file\/below cannot be written: ENOTDIR.*\n.*--results FOLDER$/m);
    assert.doesNotMatch(stderr, /itself failed|Starting/);
  });

  it("that is tested does not keep the test file", async () => {
    const fresh = path.join(folder, "fresh");
    await tryFolder(fresh);
    assert.deepEqual(readdirSync(fresh), []);
  });

  it("gets complete reports or none, and a readable error", async () => {
    const taken = path.join(folder, "taken");
    mkdirSync(path.join(taken, "junit.xml"), { recursive: true });
    await assert.rejects(writeReports(whole, taken), (error) => {
      assert.ok(error instanceof MeshproofError);
      assert.equal(error.code, "ERR_RESULTS");
      assert.match(error.message, /junit\.xml cannot be written: EISDIR/);
      return true;
    });
    assert.deepEqual(
      readdirSync(taken).filter((name) => name.endsWith(".tmp")),
      [],
    );
  });

  it("whose latest is a folder, or cannot be made, is a note", async () => {
    const notes: string[] = [];
    const note = (line: string) => void notes.push(line);
    const results = path.join(folder, "results");
    mkdirSync(path.join(results, "latest"), { recursive: true });
    await pointLatest(path.join(results, "one"), note);
    assert.match(notes.join(), /latest does not point to this run: it is a folder, not a link/);
    assert.deepEqual(readdirSync(results), ["latest"]);
    await pointLatest(path.join(folder, "missing", "one"), note);
    assert.match(notes[1] ?? "", /latest does not point to this run: ENOENT/);
    rmSync(path.join(results, "latest"), { recursive: true });
    symlinkSync("old", path.join(results, "latest"));
    await pointLatest(path.join(results, "one"), note);
    assert.equal(readlinkSync(path.join(results, "latest")), "one");
    assert.equal(notes.length, 2);
    assert.equal(existsSync(path.join(results, `latest.${process.pid}`)), false);
  });
});
