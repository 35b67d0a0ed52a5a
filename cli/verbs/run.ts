import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { cp, lstat, readFile, rename, rm, symlink } from "node:fs/promises";
import path from "node:path";
import { Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import type { WantedMesh } from "../../clusters/components/components.ts";
import { cacheRoot } from "../../clusters/components/cache.ts";
import { toHandle, type Cluster } from "../../clusters/cluster.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { IN_FORCE_LIMIT_MS } from "../../harness/run/plan.ts";
import type { Progress } from "../../harness/progress.ts";
import type { Inputs, RunResult, Shard } from "../../harness/model/result.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { revisionOf } from "../../harness/scenario/revision.ts";
import { noteOf, parseShard, runSetOf, takeShard } from "../../harness/shards.ts";
import { exitCode, formatSummary, readResults, REPORT, tryFolder, writeReports } from "../../reports/index.ts";
import type { Choice } from "../../harness/run/eligible.ts";
import { sentence } from "../../reports/words.ts";
import { addToStepSummary, annotate } from "../annotate.ts";
import { commandOf } from "../command-line.ts";
import { readKnownFailures } from "../known-failures.ts";
import { flagsOf, openCluster, type ImageFlags } from "../cluster.ts";
import { MADE_KINDS, type MadeKind, readScenarios, SCENARIOS } from "../context.ts";
import { prepareHost } from "../host.ts";
import { newRunId } from "../run-id.ts";
import { loadRunner } from "../runner.ts";
import { work } from "../work.ts";
import type { Work } from "../work.ts";
import { isTerminal, print, printPainted, warn } from "../streams.ts";
import { finish, option, seconds, verb } from "../options.ts";

export const command = verb("run", [
  "run",
  "run paths/skip-jwt-for-paths --keep",
  "run 'jwt/*' --tag documented --results out",
])
  .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
  .addOption(option.tag())
  .addOption(new Option("--cluster <kind>", "where to run").choices([...MADE_KINDS, "existing"]).default("embedded"))
  .option("--name <cluster>", "a kept cluster to run on, or the name of a new one")
  .option("--keep", "leave the cluster running for the next run")
  .addOption(option.istio())
  .addOption(option.envoy())
  .addOption(option.images())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.kubernetes())
  .addOption(option.kubeconfig())
  .addOption(option.context())
  .addOption(option.allowExec())
  .option("--revision <name>", "existing: istiod's revision, where the mesh has several")
  .option("--allow-mesh-wide", "existing: allow scenarios whose objects reach beyond the run's own namespaces")
  .option("--profile <profile>", "what the mesh promises: istio, asm, or asm@VERSION", "istio")
  .option("--results <folder>", "where reports are written, a folder per run", "results")
  .option("--shard <i/n>", "only the i-th of n parts of the selection; meshproof merge puts the results together")
  .option("--rerun-failed <results>", "only what failed, flaked or ended in an error in that run")
  .option("--ignore-missing", "with --rerun-failed: leave out what failed there and is no scenario any more")
  .option("--known-failures <file>", "YAML: failures that somebody answers for, each until a date")
  .addOption(
    new Option("--limit <seconds>", "how long a step may take to agree with what it expects").argParser(
      seconds("--limit"),
    ),
  )
  .addOption(
    new Option("--push-limit <seconds>", "how long istiod and the proxies may take to put a step into force").argParser(
      seconds("--limit"),
    ),
  )
  .addOption(option.install())
  .addOption(option.scenarios())
  .action(async (names: string[], options) => finish(run(names, options)));

interface RunVerbOptions extends ExistingFlags, ImageFlags, WantedMesh {
  readonly tag: readonly string[];
  readonly cluster: MadeKind | "existing";
  readonly name?: string;
  readonly keep?: boolean;
  readonly results: string;
  readonly knownFailures?: string;
  readonly shard?: string | undefined;
  /** A run's folder, or its results.json. */
  readonly rerunFailed?: string;
  /** Whether a scenario that failed there and is gone may be left out. */
  readonly ignoreMissing?: boolean;
  /** Seconds. */
  readonly limit?: number;
  readonly pushLimit?: number;
  readonly install?: boolean;
  readonly scenarios: string;
  readonly profile: string;
}

/** What only an existing cluster takes. */
export interface ExistingFlags {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly allowExec: readonly string[];
  readonly revision?: string;
  readonly allowMeshWide?: boolean;
}

export async function run(names: readonly string[], options: RunVerbOptions): Promise<number> {
  return work(async (work) => {
    refuseMixedOptions(options);
    const selected = await readScenarios(options.scenarios, names, options.tag);
    const again =
      options.rerunFailed === undefined
        ? selected
        : await onlyFailed(selected, options.rerunFailed, {
            all: await readScenarios(options.scenarios, [], []),
            ignoreMissing: options.ignoreMissing === true,
            tell: work.progress,
          });
    if (again.length === 0) {
      print(`nothing that was selected failed in ${options.rerunFailed ?? ""}: there is nothing to run again`);
      return 0;
    }
    const { scenarios, shard } =
      options.shard === undefined ? { scenarios: again } : takeShard(again, parseShard(options.shard));
    const here = new Set(scenarios.map(({ id }) => id));
    const elsewhere = new Set(selected.map(({ id }) => id).filter((id) => !here.has(id)));
    const excuse = await readKnownFailures(options.knownFailures, elsewhere);
    const inputs = await inputsOf(options);
    if (options.install === true) await prepareHost(work);
    await tryFolder(options.results);
    const asked = options.rerunFailed === undefined ? names : again.map(({ id }) => id);
    let told: RunResult | undefined;
    const tell = async (found: RunResult): Promise<void> => {
      told = excuse({ ...(shard === undefined ? found : inShard(found, shard)), inputs });
      await report(told, path.resolve(options.results, told.id), work);
    };
    await runOnCluster(scenarios, asked, options, work, tell);
    if (told === undefined) throw new Error("a run that ends has a result");
    return exitCode(told);
  });
}

/** Says what a run found, and writes it. The verdict comes first: what cannot be written takes nothing from it. */
async function report(result: RunResult, folder: string, { clear }: Work): Promise<void> {
  clear();
  annotate(result);
  const color = isTerminal();
  printPainted(formatSummary(result, { color, report: path.relative("", path.join(folder, REPORT)) }));
  const { markdown } = await writeReports(result, folder);
  await pointLatest(folder, note);
  await addToStepSummary(markdown, note);
}

/** For people, beside what a command prints. */
export function note(line: string): void {
  warn(`note: ${line}`);
}

function inShard(result: RunResult, shard: Shard): RunResult {
  return { ...result, shard, notes: [...(result.notes ?? []), noteOf(shard) ?? ""] };
}

async function inputsOf({ scenarios, profile, knownFailures }: RunVerbOptions): Promise<Inputs> {
  const runSet = runSetOf(process.env);
  const hash = async (file: string): Promise<string> =>
    createHash("sha256")
      .update(await readFile(file))
      .digest("hex")
      .slice(0, 16);
  return {
    ...{ scenarios: await revisionOf(path.resolve(scenarios)), profile },
    ...(knownFailures !== undefined && { knownFailures: await hash(knownFailures) }),
    ...(runSet !== undefined && { runSet }),
  };
}

/**
 * Those that failed, flaked or ended in an error in an earlier run.
 * @param options.all whatever scenarios there are, selected or not
 * @param options.ignoreMissing whether one that is no longer there may be left out, which is told
 * @throws MeshproofError ERR_USAGE where one of them is no longer there, or the earlier run judged nothing and nothing failed
 */
export async function onlyFailed(
  selected: readonly Scenario[],
  place: string,
  options: { readonly all: readonly Scenario[]; readonly ignoreMissing: boolean; readonly tell: Progress },
): Promise<Scenario[]> {
  const { all, ignoreMissing, tell } = options;
  const { scenarios: before } = await readResults(place, { unjudged: true });
  const failed = before.filter(({ status }) => status === "failed" || status === "flaky" || status === "error");
  if (failed.length === 0) await readResults(place);
  const gone = failed.filter(({ id }) => !all.some((scenario) => scenario.id === id));
  if (gone.length > 0 && !ignoreMissing)
    throw new MeshproofError(
      "ERR_USAGE",
      gone
        .map(({ id, status }) => `${id} has the status ${status} in ${place}, and there is no such scenario now`)
        .join("\n"),
      { hint: "was it renamed? Run it by its new name; --ignore-missing leaves out what is gone" },
    );
  for (const { id } of gone) tell(`${id} failed there and is no longer a scenario: it is left out`);
  return selected.filter(({ id }) => failed.some((scenario) => scenario.id === id));
}

/**
 * @param tell takes what was found: when the cluster is given back, also where that fails, and at once where the run was
 *   interrupted, since whoever did it may not wait
 * @throws after `tell` what interrupted the run
 */
async function runOnCluster(
  scenarios: readonly Scenario[],
  names: readonly string[],
  options: RunVerbOptions,
  work: Work,
  tell: (found: RunResult) => Promise<void>,
): Promise<void> {
  let found: RunResult | undefined;
  const take = async (result: RunResult): Promise<void> => {
    if (result.interrupted === true) await tell(result);
    else found = result;
  };
  try {
    await useCluster(scenarios, names, options, work, take);
  } finally {
    if (found !== undefined) await tell(found);
  }
}

async function useCluster(
  scenarios: readonly Scenario[],
  names: readonly string[],
  options: RunVerbOptions,
  work: Work,
  take: (found: RunResult) => Promise<void>,
): Promise<void> {
  const runId = newRunId();
  const tempDir = makeTempDir();
  const scenariosRoot = path.resolve(options.scenarios);
  await using runner = loadRunner(
    {
      runId,
      startedAt: performance.timeOrigin,
      scenariosRoot,
      projectRoot: path.dirname(scenariosRoot),
      ids: scenarios.map(({ id }) => id),
      limitMs: (options.limit ?? 10) * 1000,
      inForceLimitMs: options.pushLimit === undefined ? IN_FORCE_LIMIT_MS : options.pushLimit * 1000,
    },
    { tempDir, cacheDir: cacheRoot(), signal: work.signal },
  );
  const opened =
    options.cluster === "existing"
      ? await takeCluster(runId, options, work)
      : await openCluster({ ...options, cluster: options.cluster }, { id: runId, verb: "run" }, work);
  await using cluster = opened.cluster;
  const { playwright, choose, readProfile, runScenarios, skipAll } = await runner.loaded;
  const meshReadyAt = Date.now();
  const ready = cluster.ready();
  ready.catch(() => undefined); // told where it is awaited
  let ran = false;
  try {
    const profile = readProfile(options.profile);
    const handle = await toHandle(cluster);
    const { istio } = handle.info.versions;
    const { chosen, skipped } = await choose(scenarios, scenariosRoot, profile, cluster.limits, istio);
    // Of a shard others have the rest, and the merge of all needs each of them.
    if (chosen.length === 0 && options.shard === undefined) throw nothingRuns(skipped);
    const found = await (chosen.length === 0 ? skipAll : runScenarios)({
      playwright,
      handle,
      // The first scenario asks for its setting before it sends anything, so the gateway has until then.
      setMesh: async (setting, how) => {
        await ready;
        await cluster.setMesh(setting, how);
      },
      scenarios: chosen,
      skipped,
      command: againBy(names, options),
      repeat: (id) => againBy([id], { ...options, shard: undefined, tag: [], keep: options.cluster !== "existing" }),
      version: packageJson.version,
      startedAt: performance.timeOrigin,
      meshReadyAt,
      progress: work.progress,
      signal: opened.signal,
    });
    ran = true;
    await take(found);
    if (found.interrupted === true) opened.signal.throwIfAborted();
  } catch (error) {
    cluster.lost.throwIfAborted();
    throw error;
  } finally {
    if (ran || !work.signal.aborted) await keepDiagnostics(tempDir, path.resolve(options.results, runId), work);
  }
}

/** Failures left what explains them where the keys are, which goes: keep it beside the reports. */
async function keepDiagnostics(tempDir: string, folder: string, { progress }: Work): Promise<void> {
  const made = path.join(tempDir, "diagnostics");
  if (!existsSync(made)) return;
  const kept = path.join(folder, "diagnostics");
  try {
    await cp(made, kept, { recursive: true });
    if (existsSync(path.join(kept, "set-up")))
      progress(`what explains this is in ${path.relative("", path.join(kept, "set-up"))}`);
  } catch (error) {
    progress(`the diagnostics could not be kept: ${(error as Error).message}`);
  }
}

/** @throws MeshproofError ERR_USAGE for options that mean nothing where the run goes */
function refuseMixedOptions(options: RunVerbOptions): void {
  if (options.ignoreMissing === true && options.rerunFailed === undefined)
    throw new MeshproofError("ERR_USAGE", "--ignore-missing says what --rerun-failed leaves out", {
      hint: "add --rerun-failed, or leave it out",
    });
  const existing = options.cluster === "existing";
  const flags: Record<string, boolean> = existing
    ? {
        "--istio": options.istio !== undefined,
        "--envoy": options.envoy !== undefined,
        "--name": options.name !== undefined,
        "--keep": options.keep === true,
      }
    : {
        "--kubeconfig": options.kubeconfig !== undefined,
        "--context": options.context !== undefined,
        "--allow-exec": options.allowExec.length > 0,
        "--revision": options.revision !== undefined,
        "--allow-mesh-wide": options.allowMeshWide === true,
      };
  const wrong = Object.keys(flags).find((flag) => flags[flag]);
  if (wrong === undefined) return;
  throw new MeshproofError(
    "ERR_USAGE",
    existing
      ? `${wrong} is for clusters that meshproof makes, and this one exists`
      : `${wrong} is for a cluster that exists already`,
    { hint: existing ? `leave it out` : "add --cluster existing" },
  );
}

async function takeCluster(
  runId: string,
  { kubeconfig, context, allowExec, revision, allowMeshWide = false }: ExistingFlags,
  { progress, signal }: Work,
): Promise<{ readonly cluster: Cluster; readonly signal: AbortSignal }> {
  const { openExisting } = await import("../../clusters/existing/existing.ts");
  const cluster = await openExisting({
    runId,
    ...(kubeconfig === undefined ? {} : { kubeconfig }),
    ...(context === undefined ? {} : { context }),
    ...(revision === undefined ? {} : { revision }),
    allowExec,
    allowMeshWide,
    progress,
    signal,
  });
  return { cluster, signal: AbortSignal.any([signal, cluster.lost]) };
}

function nothingRuns(skipped: Choice["skipped"]): MeshproofError {
  const reasons = skipped.map(({ scenario, finding }) => `${scenario.id}: ${sentence(finding)}`);
  return new MeshproofError(
    "ERR_NOTHING_SELECTED",
    ["nothing that was selected can run here:", ...reasons].join("\n"),
    {
      hint: "meshproof list shows what there is",
    },
  );
}

/** How a person starts this run again. */
function againBy(names: readonly string[], options: RunVerbOptions): string {
  const { tag, cluster, istio, envoy, kubeconfig, context, revision, shard, knownFailures, profile, scenarios } =
    options;
  return commandOf("run", names, {
    ...{ "--tag": tag, "--cluster": cluster === "embedded" ? undefined : cluster },
    ...{ "--istio": istio, "--envoy": envoy, ...flagsOf(options) },
    ...{ "--kubeconfig": kubeconfig, "--context": context, "--revision": revision },
    ...{ "--allow-mesh-wide": options.allowMeshWide, "--shard": shard, "--known-failures": knownFailures },
    ...{ "--profile": profile === "istio" ? undefined : profile },
    ...{ "--scenarios": scenarios === SCENARIOS ? undefined : scenarios, "--keep": options.keep },
  });
}

/** `latest` beside the run's folder; replaced in one step, so that it always leads somewhere. A convenience: where it cannot be made, that is told. */
export async function pointLatest(folder: string, note: Progress): Promise<void> {
  const link = path.join(path.dirname(folder), "latest");
  const fresh = `${link}.${process.pid}`;
  try {
    await rm(fresh, { force: true });
    await symlink(path.basename(folder), fresh);
    await rename(fresh, link);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => undefined);
    const isFolder = await lstat(link).then(
      (found) => found.isDirectory(),
      () => false,
    );
    const why = isFolder ? "it is a folder, not a link" : (error as Error).message;
    note(`${path.relative("", link)} does not lead to this run: ${why}`);
  }
}
