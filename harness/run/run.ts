import { readFile } from "node:fs/promises";
import path from "node:path";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { collectSetUp } from "../diagnostics/collect.ts";
import { inLanes } from "../lanes.ts";
import type { Progress } from "../progress.ts";
import type { SkipFinding } from "../model/finding.ts";
import type { RunResult, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { watchInterruption } from "./interruption.ts";
import { inRunOrder, type RunPlan } from "./plan.ts";
import { PUBLISHED_MS, reviewDeaths } from "./restarts.ts";
import type { SetMesh } from "./control.ts";
import type { StartedPlaywright } from "./playwright.ts";
import { preflight } from "./preflight.ts";
import { excuseOwn, unrun } from "./scenario.ts";
import { countOf } from "../verdict/index.ts";
import { openSession } from "./session.ts";
import { sweep } from "./sweep.ts";
import { setUpWorkloads } from "./workloads.ts";

export { choose } from "./eligible.ts";
export { startPlaywright } from "./playwright.ts";
export { readProfile } from "./profile.ts";
export { deployWorkloads, workloadsOf } from "./workloads.ts";
export type { DeployOptions } from "./workloads.ts";

export interface RunOptions {
  readonly playwright: StartedPlaywright;
  readonly handle: ClusterHandle;
  readonly setMesh: SetMesh;
  /** The command that repeats a scenario; default `meshproof run <id> --keep`. */
  readonly repeat?: (id: string) => string;
  readonly scenarios: readonly Scenario[];
  /** Scenarios that cannot run here, with the reason. */
  readonly skipped?: readonly { readonly scenario: Scenario; readonly finding: SkipFinding }[];
  /** How to run this again, for reports. */
  readonly command: string;
  readonly version: string;
  /** When the command began and when the mesh was ready, both `Date.now()`. */
  readonly startedAt: number;
  readonly meshReadyAt: number;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Deploys what the scenarios need, lets Playwright run them one after the other, and gathers what they found.
 * A scenario of which the API server refuses a manifest is in error and does not run.
 * Once scenarios run, what interrupts them (ctrl-C, a lost cluster) takes nothing from those that have ended: the result says
 * that it was interrupted, and the others are in error.
 * @throws ERR_WORKLOAD_NOT_READY; ERR_INTERRUPTED before scenarios run
 */
export async function runScenarios(options: RunOptions): Promise<RunResult> {
  const { playwright, handle, progress, signal } = options;
  const { plan } = playwright;
  const session = await openSession(plan, handle);
  await setUpWorkloads(session, options.scenarios, options).catch(async (error: unknown) => {
    if (signal?.aborted !== true) await collectSetUp(session, new Date(options.startedAt), error);
    throw error;
  });
  const refused = await preflight(session, options.scenarios);
  const scenarios = options.scenarios.filter((scenario) => !refused.has(scenario));
  const workloadsReadyAt = Date.now();
  signal?.throwIfAborted();
  const interruption = watchInterruption(signal);
  let complaints = "";
  try {
    let done = 0;
    const ground = { handle, ids: scenarios.map((s) => s.id) };
    const onLine = (line: string): void => {
      progress(`[${++done}/${scenarios.length}] ${line}`);
    };
    if (scenarios.length > 0) complaints = await playwright.run(ground, options.setMesh, onLine, signal);
  } catch (error) {
    if (!interruption.happened()) throw error;
  } finally {
    await interruption.inTime(sweep(session, scenarios), undefined);
  }
  const parts = await inLanes(inRunOrder(scenarios), async (scenario) => ({
    scenario,
    result: interruption.cut(scenario, await readPart(plan, scenario, complaints)),
  }));
  session.forget();
  const found = parts.map(({ result }) => result);
  const reviewed = await interruption.inTime(reviewDeaths(session, scenarios, found), undefined);
  // Deaths of the last moments may not be published yet.
  const results = reviewed ?? parts.map(({ scenario, result }) => interruption.cut(scenario, result, PUBLISHED_MS));
  const unapplied = [...refused].map(([scenario, refusals]) => ({
    ...unrun(
      scenario,
      "error",
      refusals.map((refusal) => ({ kind: "refused", refusal })),
    ),
    refused: refusals,
  }));
  const excused = results.map((found) => {
    const scenario = scenarios.find(({ id }) => id === found.id);
    return scenario === undefined ? found : excuseOwn(scenario, found);
  });
  const gathered = gather(options, [...excused, ...unapplied], workloadsReadyAt);
  return interruption.happened() ? { ...gathered, interrupted: true } : gathered;
}

/** The result of a run in which every scenario is skipped, as a shard's may be: nothing is deployed. */
export function skipAll(options: RunOptions): RunResult {
  return gather(options, [], Date.now());
}

function gather(options: RunOptions, results: readonly ScenarioResult[], workloadsReadyAt: number): RunResult {
  const all = [
    ...results,
    ...(options.skipped ?? []).map(({ scenario, finding }) => unrun(scenario, "skipped", [finding])),
  ];
  const { repeat } = options;
  const told = repeat ? all.map((scenario) => ({ ...scenario, repeat: repeat(scenario.id) })) : all;
  const first = results.find((r) => r.steps.length > 0);
  const since = (at: number): number => Math.max(0, Math.round(at - options.startedAt));
  return {
    schemaVersion: 2,
    id: options.playwright.plan.runId,
    tool: { name: "meshproof", version: options.version },
    startedAt: new Date(options.startedAt).toISOString(),
    finishedAt: new Date().toISOString(),
    command: options.command,
    cluster: options.handle.info,
    timing: {
      meshReadyMs: since(options.meshReadyAt),
      workloadsReadyMs: since(workloadsReadyAt),
      firstVerdictMs: first ? since(Date.parse(first.startedAt) + (first.steps[0]?.timing.totalMs ?? 0)) : 0,
      totalMs: since(Date.now()),
    },
    scenarios: told,
    counts: countOf(all),
  };
}

async function readPart(plan: RunPlan, scenario: Scenario, complaints: string): Promise<ScenarioResult> {
  const file = path.join(plan.partsDir, `${scenario.id.replaceAll("/", "__")}.json`);
  try {
    return JSON.parse(await readFile(file, "utf8")) as ScenarioResult;
  } catch {
    return unrun(scenario, "error", [
      { kind: "not-finished", because: "worker", ...(complaints !== "" && { said: complaints }) },
    ]);
  }
}
