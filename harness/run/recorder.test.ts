import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { FullConfig, Suite, TestCase, TestResult } from "@playwright/test/reporter";
import type { Status } from "../model/result.ts";
import { loadScenarios } from "../scenario/index.ts";
import { sentence } from "../../reports/words.ts";
import { GROUND_VARIABLE } from "./plan.ts";
import { createRecorder } from "./recorder.ts";
import { unrun } from "./scenario.ts";
import { readSettings, SETTINGS_VARIABLE } from "./settings.ts";

describe("Playwright's events of a run", async () => {
  const { scenarios } = await loadScenarios(path.join(import.meta.dirname, "../../scenarios"));
  const [one, two, three] = scenarios as [(typeof scenarios)[0], (typeof scenarios)[0], (typeof scenarios)[0]];
  let folder: string;

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-recorder-"));
    const ground = {
      ...{ plan: { runId: "r", startedAt: 0 }, handle: { info: { kind: "embedded" } }, tool: { version: "1" } },
      ...{
        skipped: { [three.id]: { kind: "no-gateway" } },
        refused: {},
        folder,
        endingFile: path.join(folder, "ending.json"),
      },
    };
    await writeFile(path.join(folder, "ground.json"), JSON.stringify(ground));
    process.env[GROUND_VARIABLE] = path.join(folder, "ground.json");
  });
  after(async () => {
    delete process.env[GROUND_VARIABLE];
    await rm(folder, { recursive: true });
  });

  const ended = async (id: string, name: string, status: Status): Promise<TestResult> => {
    const scenario = scenarios.find((each) => each.id === id)!;
    const file = path.join(folder, `${name}.json`);
    const startedAt = new Date(1000).toISOString();
    await writeFile(file, JSON.stringify({ ...unrun(scenario, status, []), startedAt }));
    return {
      ...TIMES,
      attachments: [{ name: "result", path: file }],
      errors: [],
      annotations: [],
    } as unknown as TestResult;
  };
  const TIMES = { startTime: new Date(1000), duration: 5 };
  const broken = {
    ...TIMES,
    attachments: [],
    errors: [{ message: "\u001b[31mworker exited\u001b[39m" }],
  } as unknown as TestResult;
  const gather = async (tests: Record<string, TestResult[]>, ending: string, shard: FullConfig["shard"] = null) => {
    await writeFile(path.join(folder, "ending.json"), ending);
    const cases = Object.entries(tests).map(([title, results]) => ({ title, results }) as unknown as TestCase);
    const recorder = createRecorder();
    recorder.begin({ allTests: () => cases } as unknown as Suite, { shard });
    const gathered = await recorder.gather({ status: "passed" });
    assert.equal(gathered?.folder, folder);
    return gathered.result;
  };
  const statusesOf = async (tests: Record<string, TestResult[]>, ending = "{}"): Promise<unknown> =>
    (await gather(tests, ending)).scenarios.map(({ id, status, reason }) => [id, status, reason]);

  it("is read from attachments; a test without one did not come to its end", async () => {
    const tests = { [one.id]: [await ended(one.id, "a", "passed")], [two.id]: [broken], [three.id]: [] };
    assert.deepEqual(await statusesOf(tests), [
      [one.id, "passed", ""],
      [two.id, "error", "it did not run to its end; Playwright says: worker exited"],
      [three.id, "skipped", sentence({ kind: "no-gateway" })],
    ]);
  });

  it("has an error for a test that never began", async () => {
    const reason = sentence({ kind: "not-finished", because: "not-begun" });
    assert.deepEqual(await statusesOf({ [one.id]: [] }), [[one.id, "error", reason]]);
  });

  it("is as bad as the worst of several times, also where one did not come to its end", async () => {
    const [good, bad] = [await ended(one.id, "a", "passed"), await ended(one.id, "b", "flaky")];
    assert.deepEqual(await statusesOf({ [one.id]: [bad, good] }), [[one.id, "flaky", ""]]);
    const reason = "it did not run to its end; Playwright says: worker exited";
    assert.deepEqual(await statusesOf({ [one.id]: [good, broken] }), [[one.id, "error", reason]]);
  });

  it("says that it is a shard: the rest must not be forgotten", async () => {
    const tests = { [one.id]: [await ended(one.id, "a", "passed")] };
    const { shard } = await gather(tests, "{}", { current: 2, total: 3 });
    assert.deepEqual([shard?.index, shard?.count], [2, 3]);
    assert.equal((await gather(tests, "{}")).shard, undefined);
  });

  it("is cut off where the run was interrupted", async () => {
    const tests = { [one.id]: [await ended(one.id, "a", "passed")], [two.id]: [] };
    const reason = "it did not run to its end: the run was interrupted";
    const ending = JSON.stringify({ interruption: { at: 500, message: "interrupted" } });
    assert.deepEqual(await statusesOf(tests, ending), [
      [one.id, "error", reason],
      [two.id, "error", reason],
    ]);
  });

  it("is cut off also where Playwright says when an interrupted test began, and not how long it took", async () => {
    const stopped = { ...broken, status: "interrupted", errors: [], duration: 0 } as unknown as TestResult;
    const ending = JSON.stringify({ interruption: { at: 2000, message: "interrupted" } });
    const failed = { ...broken, status: "failed" } as unknown as TestResult;
    assert.deepEqual(await statusesOf({ [one.id]: [stopped], [two.id]: [failed] }, ending), [
      [one.id, "error", "it did not run to its end: the run was interrupted"],
      [two.id, "error", "it did not run to its end; Playwright says: worker exited"],
    ]);
  });

  it("knows what was to run also where Playwright found no test of it, and why it did not", async () => {
    await writeFile(path.join(folder, "ending.json"), "{}");
    const settings = { ...readSettings({}), ids: [one.id, three.id] };
    process.env[SETTINGS_VARIABLE] = JSON.stringify(settings);
    try {
      const recorder = createRecorder();
      recorder.begin({ allTests: () => [] } as unknown as Suite, { shard: null });
      recorder.complain({ message: "\u001b[31mReferenceError: x\u001b[39m" });
      const { scenarios: found, counts } = (await recorder.gather({ status: "failed" }))!.result;
      assert.deepEqual(
        found.map(({ id, status, reason }) => [id, status, reason]),
        [
          [one.id, "error", "it did not run to its end; Playwright says: ReferenceError: x"],
          [three.id, "skipped", sentence({ kind: "no-gateway" })],
        ],
      );
      assert.equal(counts.error, 1);
    } finally {
      delete process.env[SETTINGS_VARIABLE];
    }
  });
});
