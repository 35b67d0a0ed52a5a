import { mkdir } from "node:fs/promises";
import path from "node:path";
import { Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { chooseMesh, type WantedMesh } from "../../clusters/components/components.ts";
import type { UpgradableCluster } from "../../clusters/upgradable.ts";
import { readKnownChanges } from "../../harness/compare/known.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { formatAllowance, parseAllowance, upgradeExitCode } from "../../harness/upgrade/upgrade.ts";
import type { runUpgrade as RunUpgrade, UpgradeTask } from "../../harness/upgrade/run-upgrade.ts";
import { formatDiff, pointLatest, writeDiff } from "../../reports/index.ts";
import { formatUpgrade, formatUpgradeJson, writeUpgrade } from "../../reports/upgrade.ts";
import { runInChild } from "../child-run.ts";
import { makerOf, takeClusterLease } from "../cluster.ts";
import { flagsOf, type ImageFlags } from "../image-flags.ts";
import { commandOf } from "../command-line.ts";
import { MADE_KINDS, type MadeKind, readScenarios } from "../context.ts";
import { prepareHost } from "../host.ts";
import { work, type Work } from "../work.ts";
import { KNOWN_CHANGES } from "./diff.ts";
import { newRunId } from "../run-id.ts";
import { note } from "./run.ts";
import { print, printJsonText } from "../streams.ts";
import { finish, option, verb, whole } from "../options.ts";

export const command = verb("upgrade", [
  "upgrade --from 1.30 --to 1.31",
  "upgrade 'jwt/*' --from 1.30@1.36 --to 1.31@1.40 --strategy revision",
  "upgrade --cluster kind --from 1.30.1 --to 1.31.0",
])
  .argument("[names...]", "scenarios: ids, groups, names or globs (default: those with the tag documented)")
  .addOption(option.tag())
  .requiredOption("--from <istio>", "the version to start with; ISTIO@ENVOY chooses Envoy's too")
  .requiredOption("--to <istio>", "the version to upgrade to, likewise")
  .addOption(new Option("--cluster <kind>", "where to do it").choices(MADE_KINDS).default("embedded"))
  .addOption(option.images())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.kubernetes())
  .addOption(
    new Option("--strategy <strategy>", "replace istiod, or bring up a second one and move to it")
      .choices(["in-place", "revision"])
      .default("in-place"),
  )
  .addOption(
    new Option("--rate <requests>", "how many a second, of those to be admitted and of those to be refused")
      .argParser((text: string) => Math.max(1, whole(text)))
      .default(20),
  )
  .addOption(
    new Option("--max-unavailable <requests>", "how many that must be admitted may fail: a number, or a share").default(
      "1%",
    ),
  )
  .option("--name <cluster>", "the cluster's name while it runs")
  .option("--results <folder>", "where reports are written, a folder per upgrade", "results")
  .addOption(option.install())
  .addOption(option.json())
  .addOption(option.scenarios())
  .action(async (names: string[], options) => finish(upgrade(names, options)));

interface UpgradeVerbOptions extends ImageFlags {
  readonly cluster: MadeKind;
  readonly from: string;
  readonly to: string;
  readonly strategy: "in-place" | "revision";
  readonly tag: readonly string[];
  readonly name?: string;
  /** Requests per second of each stream. */
  readonly rate: number;
  /** `20`, or `1%`. */
  readonly maxUnavailable: string;
  readonly results: string;
  readonly install?: boolean;
  readonly json?: boolean;
  readonly scenarios: string;
}

export async function upgrade(names: readonly string[], options: UpgradeVerbOptions): Promise<number> {
  return work(async (work) => {
    const maxUnavailable = parseAllowance(options.maxUnavailable);
    const [from, to] = [parsePair(options.from), parsePair(options.to)];
    const [old, fresh] = [chooseMesh(from), chooseMesh(to)];
    if (old.istio === fresh.istio && old.envoy === fresh.envoy)
      throw new MeshproofError(
        "ERR_USAGE",
        `both are Istio ${old.istio} with ${old.envoy ? `Envoy ${old.envoy}` : "its own Envoy"}`,
        { hint: "name another version, such as --to 1.31@1.40" },
      );
    // The default is the tag documented; named scenarios are not filtered.
    const tag = options.tag.length === 0 && names.length === 0 ? ["documented"] : options.tag;
    const scenarios = await readScenarios(options.scenarios, names, tag);
    const knownChanges = await readKnownChanges(KNOWN_CHANGES);
    if (options.install === true) await prepareHost(work);
    const id = newRunId();
    const folder = path.resolve(options.results, id);
    await mkdir(folder, { recursive: true });
    const selection = [...names, ...tag.flatMap((one) => ["--tag", one]), "--scenarios", options.scenarios];
    const { upgrade, comparison } = await onCluster(id, [from, to], options, work, (cluster, child, signal) => ({
      id,
      cluster,
      scenarios,
      maxUnavailable,
      strategy: options.strategy,
      rate: options.rate,
      signal,
      command: againBy(names, [from, to], options),
      version: packageJson.version,
      knownChanges,
      issuersDirs: issuersDirsOf(options.scenarios),
      progress: work.progress,
      run: (side) => runOn(cluster, side, { folder, selection, child, signal }, work),
    }));
    await writeDiff(comparison, folder);
    const { html } = await writeUpgrade(upgrade, folder);
    await pointLatest(folder, note);
    work.clear();
    if (options.json === true) printJsonText(formatUpgradeJson(upgrade));
    else print([formatUpgrade(upgrade), formatDiff(comparison), `page: ${path.relative("", html)}`].join("\n"));
    return upgradeExitCode(upgrade);
  });
}

/** `1.30`, or `1.30@1.36` with Envoy's version; `1.29.2` alone is a released Istio with its own Envoy. */
export function parsePair(text: string): WantedMesh {
  const [istio, envoy, more] = text.split("@");
  if (more !== undefined)
    throw new MeshproofError("ERR_USAGE", `"${text}" is not a version`, { hint: "write ISTIO or ISTIO@ENVOY" });
  const wanted = { istio, envoy };
  chooseMesh(wanted);
  return wanted;
}

/** Starts the cluster, upgrades its mesh, and ends it. @param describe returns the task, from the Lease's data for a run's process */
async function onCluster(
  id: string,
  meshes: readonly WantedMesh[],
  options: UpgradeVerbOptions,
  work: Work,
  describe: (cluster: UpgradableCluster, child: Readonly<Record<string, string>>, signal: AbortSignal) => UpgradeTask,
): ReturnType<typeof RunUpgrade> {
  const { start } = await makerOf(options.cluster);
  await using cluster = await start({
    ...options,
    name: options.name ?? `upgrade-${process.pid}`,
    keep: false,
    meshes,
    progress: work.progress,
    signal: work.signal,
  });
  const lease = await takeClusterLease(cluster, { id, verb: "upgrade" }, work);
  await using stack = new AsyncDisposableStack();
  stack.defer(() => lease.stop());
  const { runUpgrade } = await import("../../harness/upgrade/run-upgrade.ts");
  const signal = AbortSignal.any([work.signal, cluster.lost, lease.lost]);
  return await runUpgrade(describe(cluster, lease.forChild, signal));
}

interface ChildRun {
  readonly folder: string;
  /** The arguments of `meshproof run` that choose the scenarios. */
  readonly selection: readonly string[];
  /** The environment that lets it use the cluster. */
  readonly child: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
}

/** Runs `meshproof run` as a separate process on this cluster; its results become `<folder>/<side>`. */
async function runOn(
  cluster: UpgradableCluster,
  side: "from" | "to",
  { folder, selection, child, signal }: ChildRun,
  { progress }: Work,
): Promise<RunResult> {
  const where = ["--cluster", cluster.kind, "--name", cluster.name];
  return await runInChild({
    // An upgrade supports only one lane.
    args: [...selection, ...where, "--lanes", "1"],
    scratch: path.join(folder, `.${side}`),
    place: () => path.join(folder, side),
    ...{ env: child, signal, name: `the run on "${side}"` },
    // 1 means that checks failed; the comparison shows whether that is new.
    accept: [0, 1],
    progress: (line) => progress(`${side}: ${line}`),
  });
}

/** The command that repeats this upgrade. */
function againBy(
  names: readonly string[],
  [from, to]: readonly [WantedMesh, WantedMesh],
  options: UpgradeVerbOptions,
): string {
  const pair = (wanted: WantedMesh): string => {
    const { istio, envoy } = chooseMesh(wanted);
    return wanted.envoy === undefined ? istio : `${istio}@${envoy}`;
  };
  return commandOf("upgrade", names, {
    "--from": pair(from),
    "--to": pair(to),
    "--strategy": options.strategy,
    "--tag": options.tag,
    "--cluster": options.cluster === "embedded" ? undefined : options.cluster,
    ...flagsOf(options),
    "--max-unavailable": formatAllowance(parseAllowance(options.maxUnavailable)),
  });
}
