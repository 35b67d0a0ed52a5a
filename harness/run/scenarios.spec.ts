import { readdir } from "node:fs/promises";
import path from "node:path";
import { isDeepStrictEqual } from "node:util";
import type { TestInfo, TestInfoError } from "@playwright/test";
import { COLLECT_LIMIT_MS } from "../diagnostics/bundle.ts";
import { inLanes } from "../lanes.ts";
import { isAdmission, isCheck, itemsOf, nameItem, type ItemResult } from "../model/items.ts";
import type { Answer, ScenarioResult, StepResult } from "../model/result.ts";
import { waitOf, type Position, type Scenario } from "../model/scenario.ts";
import { describeDifference, describeExchange, safeText, type Redact } from "./failure-text.ts";
import { attachFiles, expect, test } from "./fixtures.ts";
import { runOnGround } from "./ground.ts";
import { aloneOf, knownFailuresOf, scenariosOf, selectedOf, sweptOf } from "./loaded.ts";
import { inTestOrder, keepsLane1 } from "./lane.ts";
import { unableOf } from "./record.ts";
import type { InStep } from "./scenario.ts";
import { KEEP_WORKER_VARIABLE, projectOf, readSettings } from "./settings.ts";
import { excuseScenario } from "../verdict/index.ts";
import { visible } from "../safe/visible.ts";
import { sweep } from "./sweep.ts";

const settings = readSettings();
const project = projectOf(settings);
const scenarios = await scenariosOf(settings);
const alone = await aloneOf(settings);
const lane1Kept = keepsLane1(settings, alone);
const known = await knownFailuresOf(settings, scenarios);

/** Each wait inside has a limit of its own that explains itself; these only end a run that hangs. */
const SET_UP_LIMIT_MS = 300_000;
const STEP_LIMIT_MS = 2 * settings.inForceLimitMs + settings.limitMs + COLLECT_LIMIT_MS + 120_000;

/** Playwright's lock that keeps other scenarios from running at the same time. */
const EXCLUSIVE = "-exclusive-";

const KEPT = process.env[KEEP_WORKER_VARIABLE] !== undefined;

for (const scenario of inTestOrder(await selectedOf(settings), alone))
  test(scenario.id, detailsOf(scenario), async ({ ground, laneFor }, info) => {
    const unable = unableOf(ground, scenario);
    if (unable !== undefined) {
      info.annotations.push({ type: "status", description: unable.status });
      const reason = visible(unable.reason ?? unable.status, { lines: true });
      test.skip(unable.status === "skipped", reason);
      throw new Error(reason);
    }
    info.setTimeout(SET_UP_LIMIT_MS + scenario.steps.length * STEP_LIMIT_MS + waitOf(scenario) * 1000);
    // What is known, or wrong on purpose, is none of Playwright's failures.
    const excuses = known.filter((entry) => entry.scenario === scenario.id);
    const excused = excuses.length > 0 || KEPT;
    const inStep: InStep = ({ name, position }, run) =>
      test.step(
        name,
        async () => {
          const step = await run();
          await tell(step, redact);
          if (!excused) await expectAll(step, redact);
          return step;
        },
        { location: locationOf(position) },
      );
    const lane = await laneFor(scenario);
    const { redact } = lane.session.tokens;
    const result = await runOnGround(lane.session, scenario, undefined, inStep, { alone: isAlone(scenario, info) });
    if (result.status === "error") await sweep(lane.session, await sweptOf(settings, ground));
    await lane.keep(result, info);
    const told = excuseScenario(result, excuses, result.startedAt.slice(0, 10));
    info.annotations.push({ type: "status", description: told.status });
    if (told.status === "known-failure")
      for (const { owner, expires, reason } of excuses)
        info.annotations.push({ type: "known failure", description: `until ${expires}, ${owner}: ${reason}` });
    if (told.status === "passed" || told.status === "known-failure" || KEPT) return;
    await attachFiles(info, await filesOf(result, ground.folder));
    const reason = result.reason === undefined ? undefined : safeText(result.reason, redact);
    test.skip(told.status === "skipped", reason);
    if (excused) for (const step of told.steps) await expectAll(step, redact);
    if (reason !== undefined) throw new Error(reason);
    if (info.errors.length === 0) throw new Error(`${scenario.id} is ${told.status}`);
  });

/** Playwright retries what failed when all else has ended. */
function isAlone({ id }: Scenario, { config, retry }: TestInfo): boolean {
  return config.workers === 1 || lockOf(id) === EXCLUSIVE || retry > 0;
}

function lockOf(id: string): string | undefined {
  const beside = alone.get(id);
  return beside === "in-lane-1" && lane1Kept ? "lane 1" : beside && EXCLUSIVE;
}

function detailsOf({ id, title, source, tags, level, position }: Scenario) {
  const lock = lockOf(id);
  return {
    ...(lock !== undefined && { lock }),
    tag: [...new Set([level, ...tags])].map((tag) => `@${tag}`),
    annotation: [
      { type: "title", description: title },
      { type: "source", description: source },
      { type: "scenario", description: `${position.file}:${position.line}` },
    ],
  };
}

/** A check that differs is a failed expectation at its line of the scenario's file, whose message is the reason. */
async function expectAll(step: StepResult, redact: Redact): Promise<void> {
  for (const item of itemsOf(step))
    if (item.status !== "passed" && item.status !== "known-failure")
      await test.step(
        nameItem(item),
        () => {
          const { got, expected } = comparedOf(item);
          expect.soft(got, describeDifference(item, redact)).toEqual(expected);
          placeError(test.info().errors.at(-1), locationOf(item.position));
        },
        { location: locationOf(item.position) },
      );
}

/** Playwright shows the lines around the first place in an error's stack: here the check's line of the scenario's file. */
function placeError(error: TestInfoError | undefined, { file, line, column }: Position): void {
  if (error !== undefined) error.stack = `${error.message ?? ""}\n    at ${file}:${line}:${column}`;
}

const locationOf = (position: Position) => ({ ...position, file: path.resolve(project, position.file) });

/** What Playwright compares. Where the status is the wanted one and something else is not, the verdict differs. */
function comparedOf(item: ItemResult): Record<"got" | "expected", object> {
  const pick = ({ status, by }: Pick<Answer, "status" | "by">) => ({ status, by });
  const [got, expected] = isCheck(item)
    ? [pick(item.got), pick(item.expected)]
    : isAdmission(item)
      ? [{ verdict: item.got.verdict }, { verdict: item.expected.verdict }]
      : [{ by: item.got }, { by: [item.expected] }];
  if (!isDeepStrictEqual(got, expected)) return { got, expected };
  return { got: { ...got, verdict: item.status }, expected: { ...expected, verdict: "passed" } };
}

/** What was sent and answered where a step did not pass, and the policies that decided. */
async function tell({ checks, objects, status }: StepResult, redact: Redact): Promise<void> {
  if (status === "passed") return;
  for (const check of checks.filter((one) => one.status !== "passed"))
    await test
      .info()
      .attach(`exchange: ${check.name}`, { body: describeExchange(check, redact), contentType: "text/plain" });
  const yaml = [...new Set(objects.filter(({ verb }) => verb === "apply").map((object) => object.yaml))];
  if (yaml.length > 0)
    await test.info().attach("policies", { body: safeText(yaml.join("---\n"), redact), contentType: "text/yaml" });
}

/** @param folder of this run's results, which the names are relative to */
async function filesOf({ diagnostics = [] }: ScenarioResult, folder: string): Promise<string[]> {
  const found = await inLanes(diagnostics, async (kept) =>
    (await readdir(path.join(folder, kept)).catch(() => [])).map((name) => path.join(folder, kept, name)),
  );
  return found.flat();
}
