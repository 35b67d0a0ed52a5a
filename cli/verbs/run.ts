import path from "node:path";
import { Option } from "commander";
import type { WantedMesh } from "../../clusters/components/components.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { SCENARIO, IN_FORCE_LIMIT_MS, LIMIT_MS, type RunSettings } from "../../harness/run/settings.ts";
import type { Progress } from "../../harness/progress.ts";
import type { RunResult, Shard } from "../../harness/model/result.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { parseShard, takeShard } from "../../harness/shards.ts";
import { exitCode, formatSummary, readResults, REPORT, tryFolder } from "../../reports/index.ts";
import { formatJson } from "../../reports/json.ts";
import { addToStepSummary, annotate } from "../annotate.ts";
import { commandOf } from "../command-line.ts";
import { flagsOf, type ImageFlags } from "../image-flags.ts";
import { MADE_KINDS, type MadeKind, readAndSelect, SCENARIOS } from "../context.ts";
import { runPlaywright } from "../playwright/start.ts";
import { work } from "../work.ts";
import { isTerminal, print, printJson, printJsonText, printPainted, warn } from "../streams.ts";
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
  .addOption(option.components())
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
  .addOption(option.lanes())
  .option("--shard <i/n>", "only the i-th of n parts of the selection; meshproof merge puts the results together")
  .option("--rerun-failed <results>", "only what failed, flaked or ended in an error in that run")
  .option("--ignore-missing", "with --rerun-failed: leave out scenarios that failed there and no longer exist")
  .option("--known-failures <file>", "YAML: known failures, each with an owner, a reason and an expiry date")
  .addOption(
    new Option("--limit <seconds>", "how long a step may take to agree with what it expects").argParser(
      seconds("--limit"),
    ),
  )
  .addOption(
    new Option("--push-limit <seconds>", "how long istiod and the proxies may take to put a step into force").argParser(
      seconds("--push-limit"),
    ),
  )
  .addOption(
    new Option(
      "--max-wait <seconds>",
      "skip scenarios that wait longer for the time of a token (`at`); default 30",
    ).argParser(seconds("--max-wait")),
  )
  .addOption(option.install())
  .addOption(option.scenarios())
  .addOption(option.json())
  .action(async (names: string[], options) => finish(run(names, options)));

interface RunVerbOptions extends ExistingFlags, ImageFlags, WantedMesh {
  readonly tag: readonly string[];
  readonly cluster: MadeKind | "existing";
  readonly name?: string;
  readonly keep?: boolean;
  readonly results: string;
  readonly knownFailures?: string;
  readonly lanes?: number;
  readonly shard?: string | undefined;
  /** A run's folder, or its results.json. */
  readonly rerunFailed?: string;
  /** Whether to leave out scenarios that failed there and no longer exist. */
  readonly ignoreMissing?: boolean;
  /** Seconds. */
  readonly limit?: number;
  readonly pushLimit?: number;
  readonly maxWait?: number;
  readonly install?: boolean;
  readonly json?: boolean;
  readonly scenarios: string;
  readonly profile: string;
}

/** Flags for existing clusters only. */
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
    const { all, selected, loadedBy } = await readAndSelect(options.scenarios, names, options.tag, {
      whole: options.rerunFailed !== undefined,
    });
    const again =
      options.rerunFailed === undefined
        ? selected
        : await onlyFailed(selected, options.rerunFailed, {
            all,
            ignoreMissing: options.ignoreMissing === true,
            tell: work.progress,
          });
    if (again.length === 0) {
      if (options.json === true) printJson(null);
      else print(`nothing that was selected failed in ${options.rerunFailed ?? ""}: there is nothing to run again`);
      return 0;
    }
    const { scenarios, shard } =
      options.shard === undefined ? { scenarios: again } : takeShard(again, parseShard(options.shard));
    const here = new Set(scenarios.map(({ id }) => id));
    const elsewhere = new Set(selected.map(({ id }) => id).filter((id) => !here.has(id)));
    // What these need takes time to load.
    if (options.knownFailures !== undefined)
      await (await import("../../harness/run/loaded.ts")).knownFailuresOf({ knownFailures: options.knownFailures }, []);
    if (options.install === true) await (await import("../host.ts")).prepareHost(work);
    await tryFolder(options.results);
    const asked = options.rerunFailed === undefined ? names : again.map(({ id }) => id);
    let told: RunResult | undefined;
    const { base: project, namespaces } = loadedBy;
    const settings = settingsOf(scenarios, asked, options, { shard, elsewhere });
    await runPlaywright({ ...settings, ...(project && { project }), ...(namespaces && { namespaces }), all }, work, {
      result(result) {
        told = result;
        work.clear();
        if (options.json === true) return printJsonText(formatJson(result));
        annotate(result);
        printPainted(formatSummary(result, { color: isTerminal(), report: path.relative("", pathOf(result, REPORT)) }));
      },
      note: (text) => {
        work.clear();
        note(text);
      },
    });
    if (told === undefined) throw new Error("a run that ends has a result");
    await addToStepSummary(pathOf(told, "summary.md"), note);
    return exitCode(told);

    function pathOf({ id }: RunResult, file: string): string {
      return path.join(path.resolve(options.results, id), file);
    }
  });
}

/** Prints a note for people, besides the command's output. */
export function note(line: string): void {
  warn(`note: ${line}`);
}

/** Converts the flags of `meshproof run` to settings for Playwright's global setup, tests and reporter. */
function settingsOf(
  scenarios: readonly Scenario[],
  asked: readonly string[],
  options: RunVerbOptions,
  { shard, elsewhere }: { readonly shard: Shard | undefined; readonly elsewhere: ReadonlySet<string> },
): RunSettings {
  const { cluster: kind, name, keep, istio, envoy, images, components, imageMirror, imageDigest, kubernetes } = options;
  const { kubeconfig, context, allowExec, revision, allowMeshWide } = options;
  const existing = kind === "existing";
  const made = { name, keep, istio, envoy, images, components, imageMirror, imageDigest, kubernetes };
  const given = { kubeconfig, context, allowExec, revision, allowMeshWide };
  const alone = { ...options, shard: undefined, lanes: undefined, tag: [], keep: !existing };
  return {
    cluster: { kind, ...(existing ? given : made) },
    scenarios: path.resolve(options.scenarios),
    ids: scenarios.map(({ id }) => id),
    elsewhere: [...elsewhere],
    profile: options.profile,
    results: path.resolve(options.results),
    knownFailures: options.knownFailures && path.resolve(options.knownFailures),
    limitMs: options.limit === undefined ? LIMIT_MS : options.limit * 1000,
    inForceLimitMs: options.pushLimit === undefined ? IN_FORCE_LIMIT_MS : options.pushLimit * 1000,
    ...(options.maxWait !== undefined && { maxWaitSeconds: options.maxWait }),
    shard,
    lanes: options.lanes,
    startedAt: performance.timeOrigin,
    command: againBy(asked, options),
    repeat: againBy([SCENARIO], alone),
  };
}

/**
 * The scenarios that failed, flaked or ended with an error in an earlier run.
 * @param options.all all scenarios, selected or not
 * @param options.ignoreMissing whether to leave out scenarios that no longer exist, with a note
 * @throws MeshproofError ERR_USAGE if one of them no longer exists, or the earlier run judged nothing and nothing failed
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

/** @throws MeshproofError ERR_USAGE for options that do not apply to the kind of cluster */
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
        "--lanes": options.lanes !== undefined,
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

/** The command that repeats this run. */
function againBy(names: readonly string[], options: RunVerbOptions): string {
  const { tag, cluster, istio, envoy, kubeconfig, context, revision, shard, knownFailures, profile, scenarios } =
    options;
  return commandOf("run", names, {
    ...{ "--tag": tag, "--cluster": cluster === "embedded" ? undefined : cluster },
    ...{ "--lanes": options.lanes?.toString(), "--istio": istio, "--envoy": envoy, ...flagsOf(options) },
    ...{ "--kubeconfig": kubeconfig, "--context": context, "--revision": revision },
    ...{ "--allow-mesh-wide": options.allowMeshWide, "--shard": shard, "--known-failures": knownFailures },
    ...{ "--profile": profile === "istio" ? undefined : profile },
    ...{ "--scenarios": scenarios === SCENARIOS ? undefined : scenarios, "--keep": options.keep },
  });
}
