import { randomBytes } from "node:crypto";
import { rmSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import packageJson from "../../package.json" with { type: "json" };
import { cacheRoot } from "../../clusters/embedded/components/cache.ts";
import { toHandle } from "../../clusters/cluster.ts";
import type { RunResult } from "../../harness/result.ts";
import type { Scenario } from "../../harness/scenario/types.ts";
import { exitCode, formatSummary, writeReports } from "../../reports/index.ts";
import { openCluster } from "../cluster.ts";
import { readScenarios } from "../context.ts";
import { prepareHost } from "../host.ts";
import { work } from "../work.ts";
import type { Work } from "../work.ts";

interface RunVerbOptions {
  readonly tag: readonly string[];
  readonly cluster: "embedded";
  readonly name?: string;
  readonly keep?: boolean;
  readonly results: string;
  /** Seconds. */
  readonly limit?: number;
  readonly install?: boolean;
  readonly scenarios: string;
}

export async function run(names: readonly string[], options: RunVerbOptions): Promise<number> {
  return work(async (work) => {
    const scenarios = await readScenarios(options.scenarios, names, options.tag);
    if (options.install === true) await prepareHost(work);
    const result = await runOnCluster(scenarios, names, options, work);
    const folder = path.resolve(options.results, result.id);
    const { html } = await writeReports(result, folder);
    await pointLatest(folder);
    work.clear();
    console.log(formatSummary(result, { color: process.stdout.isTTY, report: path.relative("", html) }));
    return exitCode(result);
  });
}

async function runOnCluster(
  scenarios: readonly Scenario[],
  names: readonly string[],
  options: RunVerbOptions,
  work: Work,
): Promise<RunResult> {
  // The Kubernetes client takes a second to load: that passes while the cluster starts.
  const [opened, { runScenarios }] = await Promise.all([
    openCluster(options, work),
    import("../../harness/run/index.ts"),
  ]);
  await using cluster = opened.cluster;
  const meshReadyAt = Date.now();
  const ready = cluster.ready();
  ready.catch(() => undefined); // told where it is awaited
  const tempDir = await makeTempDir();
  const scenariosRoot = path.resolve(options.scenarios);
  try {
    return await runScenarios({
      runId: newRunId(),
      handle: await toHandle(cluster),
      // The first scenario asks for its setting before it sends anything, so the gateway has until then.
      setMesh: async (setting) => {
        await ready;
        await cluster.setMesh(setting);
      },
      projectRoot: path.dirname(scenariosRoot),
      scenariosRoot,
      scenarios,
      tempDir,
      cacheDir: cacheRoot(),
      command: commandOf(names, options.tag),
      version: packageJson.version,
      ...(options.limit === undefined ? {} : { limitMs: options.limit * 1000 }),
      startedAt: performance.timeOrigin,
      meshReadyAt,
      progress: work.progress,
      signal: opened.signal,
    });
  } catch (error) {
    cluster.lost.throwIfAborted();
    throw error;
  }
}

/** Holds keys, so it goes in every case but kill -9. */
async function makeTempDir(): Promise<string> {
  const dir = await mkdtemp(path.join(tmpdir(), "meshproof-run-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Sorts by time; small letters, digits and hyphens, since it becomes part of names and URLs. */
function newRunId(): string {
  const time = new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
  return `${time}-${randomBytes(2).toString("hex")}`;
}

/** How a person starts this run again. */
function commandOf(names: readonly string[], tags: readonly string[]): string {
  const quote = (word: string): string => (/^[\w./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
  return ["meshproof", "run", ...names.map(quote), ...tags.map((tag) => `--tag ${quote(tag)}`)].join(" ");
}

/** `latest` beside the run's folder; replaced in one step, so that it always leads somewhere. */
async function pointLatest(folder: string): Promise<void> {
  const link = path.join(path.dirname(folder), "latest");
  const fresh = `${link}.${process.pid}`;
  await mkdir(path.dirname(folder), { recursive: true });
  await rm(fresh, { force: true });
  await symlink(path.basename(folder), fresh);
  await rename(fresh, link);
}
