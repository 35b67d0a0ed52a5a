/**
 * The cluster of a run, held by Playwright's main process: global setup opens it, global teardown releases it. Both share this
 * module, since an interrupted setup continues while the teardown already runs.
 */

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { toHandle, type Cluster } from "../../clusters/cluster.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { replaceFile } from "../../harness/replace-file.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Inputs } from "../../harness/model/result.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { choose, type Choice } from "../../harness/run/eligible.ts";
import { keepsLane1 } from "../../harness/run/lane.ts";
import { prepareGround } from "../../harness/run/ground.ts";
import { aloneOf, scenariosOf, selectedOf } from "../../harness/run/loaded.ts";
import { interruptionBy, inTime, type Interruption } from "../../harness/run/interruption.ts";
import { errorOf, hasParent, tellParent } from "../../harness/run/parent.ts";
import { GROUND_VARIABLE, type Ground, type SessionPlan } from "../../harness/run/plan.ts";
import { readProfile } from "../../harness/run/profile.ts";
import type { Ending } from "../../harness/run/record.ts";
import { chargeLate, lookLast, readAround, type LastSeen } from "../../harness/run/late-deaths.ts";
import { unrun } from "../../harness/run/scenario.ts";
import { openSession, type Session } from "../../harness/run/session.ts";
import type { RunSettings } from "../../harness/run/settings.ts";
import { sweep } from "../../harness/run/sweep.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { revisionOf } from "../../harness/scenario/revision.ts";
import { runSetOf } from "../../harness/shards.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { tryFolder } from "../../reports/index.ts";
import { sentence } from "../../reports/words.ts";
import { openCluster } from "../cluster.ts";
import { createStatusLine, type StatusLine } from "../status.ts";
import type { Work } from "../work.ts";
import { newRunId } from "../run-id.ts";

/** A held cluster, with the data for its teardown. */
interface Held {
  readonly cluster: Cluster;
  readonly session: Session;
  readonly ground: Ground;
  /** The scenarios that run. */
  readonly scenarios: readonly Scenario[];
}

const stop = new AbortController();
/** Aborted when the run is over: from then on the end of a process is expected. */
const over = new AbortController();
let interruption: Interruption | undefined;
let opening: Promise<Held> | undefined;

/**
 * Opens the cluster and hands it to the workers and the reporter.
 * @param lanes how many workers there will be
 */
export async function openGround(settings: RunSettings, lanes: number): Promise<void> {
  const status = statusOf();
  watchSignals();
  opening = open(settings, lanes, { ...status, signal: stop.signal });
  try {
    await opening;
  } catch (error) {
    tellParent(errorOf(stop.signal.aborted ? stop.signal.reason : error));
    throw error;
  } finally {
    status.clear();
  }
}

/** Removes the scenarios' remains, reports how the run ended, and releases the cluster. */
export async function closeGround(): Promise<void> {
  const held = await opening?.catch(() => undefined);
  if (held === undefined) return;
  await using cluster = held.cluster;
  const { session, scenarios, ground } = held;
  let last: LastSeen | undefined;
  try {
    await inTime(stop.signal, sweep(session, scenarios, { allLanes: true }), undefined);
    last = await inTime(stop.signal, lookLast(session, scenarios), undefined);
  } finally {
    session.close();
    over.abort();
    const ending: Ending = { ...(interruption && { interruption }), ...(last && { last }) };
    await replaceFile(ground.endingFile, JSON.stringify(ending), 0o600);
  }
  if (cluster.lost.aborted) tellParent(errorOf(cluster.lost.reason));
  await refuseLateDeaths(ground.plan, scenarios, last);
}

/** Fails the run for container deaths that no worker saw, with any reporter; meshproof's reporter names the scenario of each. */
async function refuseLateDeaths(
  plan: SessionPlan,
  scenarios: readonly Scenario[],
  last: LastSeen | undefined,
): Promise<void> {
  if (last === undefined || hasParent()) return;
  if ("unread" in last) throw new Error(`whether a container died at the end is not known: ${last.unread}`);
  const around = await readAround(plan, scenarios);
  const assumed = scenarios.map((scenario) => unrun(scenario, "passed", []));
  const charged = chargeLate(assumed, around, last.pods).filter(({ status }) => status === "error");
  if (charged.length > 0) throw new Error(charged.map(({ id, reason }) => `${id}: ${reason}`).join("\n"));
}

/** Handles SIGTERM and SIGHUP too: Playwright ends cleanly only on SIGINT. */
function watchSignals(): void {
  const interrupt = (reason: unknown): void => {
    interruption ??= interruptionBy(reason);
    stop.abort(reason);
  };
  process.on("SIGINT", () => interrupt(new MeshproofError("ERR_INTERRUPTED", "interrupted")));
  for (const signal of ["SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.kill(process.pid, "SIGINT"));
  if (!hasParent()) return;
  process.channel?.unref();
  process.on("disconnect", () => {
    // A second signal ends the process at once.
    if (stop.signal.aborted) process.exit(130);
    process.kill(process.pid, "SIGINT");
  });
}

/** Ends the run like ctrl-C if the cluster is lost. */
function watchCluster(cluster: Cluster): void {
  const onLost = (): void => {
    interruption ??= interruptionBy(cluster.lost.reason);
    stop.abort(cluster.lost.reason);
    process.kill(process.pid, "SIGINT");
  };
  if (cluster.lost.aborted) onLost();
  else cluster.lost.addEventListener("abort", onLost, { once: true, signal: over.signal });
}

function statusOf(): StatusLine {
  if (!hasParent()) return createStatusLine();
  return { progress: (text) => tellParent({ kind: "progress", text }), clear: () => undefined };
}

async function open(settings: RunSettings, lanes: number, work: Work): Promise<Held> {
  const runId = newRunId();
  const startedAt = settings.startedAt ?? performance.timeOrigin;
  const folder = path.join(settings.results, runId);
  if (!hasParent()) await tryFolder(settings.results);
  const selected = await selectedOf(settings);
  const profile = readProfile(settings.profile);
  // Keys are made while the cluster starts.
  const keys = createTokenFactory({ issuersDirs: issuersDirsOf(settings.scenarios) }).then((tokens) => tokens.keys());
  keys.catch(() => undefined); // thrown where it is awaited
  const inputs = inputsOf(settings, await scenariosOf(settings));
  inputs.catch(() => undefined); // likewise
  await using stack = new AsyncDisposableStack();
  const steps: { title: string; ms: number }[] = [];
  const step = async <T>(title: string, run: () => Promise<T>): Promise<T> => {
    const started = performance.now();
    const done = await run();
    steps.push({ title, ms: Math.round(performance.now() - started) });
    return done;
  };
  const cluster = stack.use(await step("open the cluster", () => takeCluster(runId, settings, work)));
  const meshReadyAt = Date.now();
  watchCluster(cluster);
  const ready = cluster.ready();
  ready.catch(() => undefined); // thrown where it is awaited
  const handle = await toHandle(cluster);
  const { versions, gatewayApi, waypoints } = handle.info;
  const mesh = { istio: versions.istio, gatewayApi, waypoints };
  const { scenarios: root, maxWaitSeconds } = settings;
  const { chosen, skipped } = await choose(selected, root, profile, cluster.limits, mesh, maxWaitSeconds);
  // An empty shard is valid, because the merge needs every shard.
  if (chosen.length === 0 && settings.shard === undefined) throw nothingRuns(skipped);
  const tempDir = makeTempDir();
  const plan: SessionPlan = {
    ...{ runId, startedAt, scenariosRoot: settings.scenarios, keys: await keys },
    ...{ podsDir: path.join(tempDir, "pods"), diagnosticsDir: path.join(folder, "diagnostics") },
    ...{ limitMs: settings.limitMs, inForceLimitMs: settings.inForceLimitMs },
    lanes,
    ownLane1: keepsLane1(settings, await aloneOf(settings)),
  };
  const session = await openSession(plan, handle);
  stack.defer(() => session.close());
  const { progress, signal } = work;
  const refused =
    chosen.length === 0
      ? {}
      : await step("deploy workloads, publish key sets, ask the API server about every manifest", async () => {
          const prepared = prepareGround({ session, scenarios: chosen, startedAt, progress, signal });
          const [found] = await Promise.all([prepared, ready]).catch((error: unknown) => {
            const kept = path.join(plan.diagnosticsDir, "set-up");
            if (existsSync(kept)) progress(`what explains this is in ${path.relative("", kept)}`);
            throw error;
          });
          return found;
        });
  const ground: Ground = {
    ...{ plan, handle, refused, steps, folder, meshReadyAt, workloadsReadyAt: Date.now() },
    skipped: Object.fromEntries(skipped.map(({ scenario, finding }) => [scenario.id, finding])),
    tool: { name: "meshproof", version: packageJson.version },
    inputs: await inputs,
    lanesDir: path.join(tempDir, "lanes"),
    endingFile: path.join(tempDir, "ending.json"),
  };
  const file = path.join(tempDir, "ground.json");
  await mkdir(ground.lanesDir, { mode: 0o700 });
  await writeFile(file, JSON.stringify(ground), { mode: 0o600 });
  process.env[GROUND_VARIABLE] = file;
  stack.move();
  return { cluster, session, ground, scenarios: chosen.filter(({ id }) => !(id in refused)) };
}

async function takeCluster(id: string, { cluster: choice }: RunSettings, work: Work): Promise<Cluster> {
  const { kind, ...flags } = choice;
  if (kind !== "existing") return (await openCluster({ ...flags, cluster: kind }, { id, verb: "run" }, work)).cluster;
  const { openExisting } = await import("../../clusters/existing/existing.ts");
  const { kubeconfig, context, revision, allowExec = [], allowMeshWide = false } = flags;
  return await openExisting({
    ...{ runId: id, kubeconfig, context, revision, allowExec, allowMeshWide },
    ...{ progress: work.progress, signal: work.signal },
  });
}

async function inputsOf({ scenarios, profile, knownFailures }: RunSettings, all: readonly Scenario[]): Promise<Inputs> {
  const manifests = all.flatMap(({ steps }) => steps.flatMap(({ apply }) => apply));
  const own = manifests.filter(({ notApplied }) => notApplied !== undefined);
  const runSet = runSetOf(process.env);
  const hash = async (file: string): Promise<string> =>
    createHash("sha256")
      .update(await readFile(file))
      .digest("hex")
      .slice(0, 16);
  return {
    ...{ scenarios: await revisionOf(scenarios, own), profile },
    ...(knownFailures !== undefined && { knownFailures: await hash(knownFailures) }),
    ...(runSet !== undefined && { runSet }),
  };
}

function nothingRuns(skipped: Choice["skipped"]): MeshproofError {
  const reasons = skipped.map(({ scenario, finding }) => `${scenario.id}: ${sentence(finding)}`);
  return new MeshproofError(
    "ERR_NOTHING_SELECTED",
    ["nothing that was selected can run here:", ...reasons].join("\n"),
    { hint: "meshproof list shows what there is" },
  );
}
