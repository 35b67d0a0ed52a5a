/** Converts the events of Playwright's reporter API to the result of a run, and Playwright's types to meshproof's. */

import { readFile } from "node:fs/promises";
import type { FullConfig, FullResult, Suite, TestCase, TestError, TestResult } from "@playwright/test/reporter";
import { inLanes } from "../lanes.ts";
import { idOfTest, scenarioOfTest } from "../mesh-test/test-id.ts";
import type { RunResult, ScenarioResult, Shard, Status } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { PODS, RESULT } from "./attachments.ts";
import { interruptionBy } from "./interruption.ts";
import { tellParent } from "./parent.ts";
import { knownFailuresOf, scenariosOf } from "./loaded.ts";
import { GROUND_VARIABLE, readGround, type Ground } from "./plan.ts";
import { gatherRun, type Ending, type Recorded } from "./record.ts";
import type { Around } from "./restarts.ts";
import { commandOf, shardOf } from "./playwright-command.ts";
import { readSettings } from "./settings.ts";

/** The result of a run, and where it belongs. */
export interface Gathered {
  readonly result: RunResult;
  /** The folder of its reports. */
  readonly folder: string;
}

export interface Recorder {
  begin(suite: Suite, config: Pick<FullConfig, "shard">): void;
  end(test: TestCase, result: TestResult): void;
  /** An error of none of the tests, such as a file that cannot be loaded: then Playwright knows no test of it. */
  complain(error: TestError): void;
  /** Waits until global teardown has said how an interrupted run ended; some seconds at most. */
  ending(): Promise<void>;
  /** @returns undefined where there was no cluster, and so nothing to say */
  gather(full: Pick<FullResult, "status">): Promise<Gathered | undefined>;
}

/** How long the end of an interrupted run is waited for: what {@link inTime} gives a sweep and a last look. */
const ENDING_LIMIT_MS = 12_000;

/** Reporters run in the process that a person started. */
const ARGUMENTS = process.argv.slice(2);

export function createRecorder(): Recorder {
  const settings = readSettings();
  const tests: TestCase[] = [];
  const complaints: string[] = [];
  let ground: Ground | undefined;
  let shard: Shard | undefined = settings.shard;
  let done = 0;
  let of = 0;
  return {
    begin(suite, config) {
      shard ??= shardOf(config, ARGUMENTS);
      if (process.env[GROUND_VARIABLE] === undefined) return;
      ground = readGround();
      tests.push(...suite.allTests());
      of = tests.filter((test) => !isUnable(test)).length;
    },
    end(test, result) {
      if (isUnable(test)) return;
      const told = result.annotations.find(({ type }) => type === "status")?.description as Status | undefined;
      const status = told ?? (result.status === "passed" ? "passed" : "error");
      if (status === "error")
        for (const error of result.errors) tellParent({ kind: "complaint", text: wordsOf(error) });
      tellParent({ kind: "ended", id: test.title, status, durationMs: result.duration, done: ++done, of });
    },
    complain(error) {
      complaints.push(wordsOf(error));
      tellParent({ kind: "complaint", text: wordsOf(error) });
    },
    async ending() {
      const until = performance.now() + ENDING_LIMIT_MS;
      while (performance.now() < until && ground !== undefined && (await readEnding(ground)) === undefined)
        await new Promise((resolve) => setTimeout(resolve, 100));
    },
    async gather(full) {
      if (ground === undefined) return undefined;
      const ended = (await readEnding(ground)) ?? {};
      const ending = full.status === "interrupted" ? { interruption: interruptionBy(undefined), ...ended } : ended;
      const scenarios =
        settings.tests === undefined ? await scenariosOf(settings) : tests.map((test) => scenarioOfTestCase(test));
      const begun = tests.filter(({ results }) => results.length > 0);
      const recorded = await inLanes(new Set(begun.map(idOf)), async (id): Promise<[string, Recorded]> => [
        id,
        await readRecorded(begun.filter((test) => idOf(test) === id)),
      ]);
      // A selected scenario without a test did not run; Playwright's errors are the reason.
      const found = new Set(tests.map(idOf));
      for (const id of settings.ids ?? [])
        if (!found.has(id)) recorded.push([id, { results: [], ...complaintOf(complaints) }]);
      const ids = new Set([...found, ...(settings.ids ?? [])]);
      const selected = scenarios.filter(({ id }) => ids.has(id));
      const command = settings.command ?? commandOf(ARGUMENTS, process.env);
      const repeat = settings.repeat === undefined ? {} : { repeat: settings.repeat };
      const known = await knownFailuresOf(settings, selected);
      const gathered = gatherRun({ ...ground, command, known, ...repeat }, selected, new Map(recorded), ending);
      return { result: shard === undefined ? gathered : { ...gathered, shard }, folder: ground.folder };
    },
  };

  /** A scenario's test is called like the scenario. */
  function idOf(test: TestCase): string {
    return settings.tests === undefined ? test.title : idOfTest(titlesOf(test));
  }

  function scenarioOfTestCase(test: TestCase): Scenario {
    return scenarioOfTest(titlesOf(test), test.location, test.tags, []);
  }

  function isUnable({ title }: TestCase): boolean {
    return ground !== undefined && (title in ground.skipped || title in ground.refused);
  }
}

/** Without the root and the project: the file, and the titles. */
function titlesOf(test: TestCase): string[] {
  return test.titlePath().slice(2);
}

async function readEnding({ endingFile }: Ground): Promise<Ending | undefined> {
  const text = await readFile(endingFile, "utf8").catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as Ending);
}

/** All that one scenario has left, each time that it ran. */
async function readRecorded(tests: readonly TestCase[]): Promise<Recorded> {
  const all = tests.flatMap(({ results }) => results);
  const results: ScenarioResult[] = [];
  let around: Around | undefined;
  for (const { attachments } of all) {
    const found = await readAttached<ScenarioResult>(attachments, RESULT);
    if (found !== undefined) results.push(found);
    around = (await readAttached<Around>(attachments, PODS)) ?? around;
  }
  // One of several times that did not come to its end is not made good by the others.
  const missing = all.some(({ attachments }) => !attachments.some(({ name }) => name === RESULT));
  return {
    results: missing ? results.filter(({ status }) => status !== "passed") : results,
    ...(around && { around }),
    // Of a test that it stopped, or did not run, Playwright does not say when it ended.
    ...(all.every(({ status }) => status === "failed" || status === "timedOut") && {
      endedAt: Math.max(...all.map(({ startTime, duration }) => startTime.getTime() + duration)),
    }),
    ...complaintOf(all.flatMap(({ errors }) => errors.map(wordsOf))),
  };
}

function complaintOf(words: readonly string[]): Pick<Recorded, "complaint"> {
  return words.length === 0 ? {} : { complaint: words.join("\n") };
}

async function readAttached<T>(attachments: TestResult["attachments"], name: string): Promise<T | undefined> {
  const file = attachments.find((one) => one.name === name)?.path;
  return file === undefined ? undefined : (JSON.parse(await readFile(file, "utf8")) as T);
}

/** Playwright colours its messages. */
const COLOURS = /\u001b\[[\d;]*m/g;

/** In a person's words, without Playwright's colours. */
function wordsOf(error: TestError): string {
  return (error.message ?? error.value ?? "unknown error").replaceAll(COLOURS, "");
}
