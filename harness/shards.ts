/** Splits a selection into shards, and merges their results. */

import { isDeepStrictEqual } from "node:util";
import { createHash } from "node:crypto";
import { MeshproofError } from "./model/errors.ts";
import type { RunResult, Shard } from "./model/result.ts";
import { inRunOrder } from "./run/plan.ts";
import type { Scenario } from "./model/scenario.ts";
import { countOf } from "./verdict/status.ts";

/** @throws MeshproofError ERR_USAGE if the text is not `i/n` with 1 <= i <= n */
export function parseShard(text: string): Pick<Shard, "index" | "count"> {
  const [, index, count] = (/^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || index > count)
    throw new MeshproofError("ERR_USAGE", `--shard takes i/n, such as 2/4, not "${text}"`);
  return { index, count };
}

/**
 * Returns one shard of a selection. A shard is a contiguous part of the run order, so that scenarios with the same mesh
 * setting stay together. Shards have about the same number of steps, since steps take the time. Every scenario is in exactly
 * one shard. If there are more shards than scenarios, the last ones are empty.
 */
export function takeShard(
  scenarios: readonly Scenario[],
  { index, count }: Pick<Shard, "index" | "count">,
): { readonly scenarios: Scenario[]; readonly shard: Shard } {
  const ordered = inRunOrder(scenarios);
  const filled = Math.min(count, ordered.length);
  const total = ordered.reduce((sum, { steps }) => sum + steps.length, 0);
  const cuts = [0];
  for (let part = 1, steps = 0, at = 0; part < filled; part++) {
    const last = ordered.length - (filled - part);
    while (at < last && (at <= (cuts[part - 1] ?? 0) || steps < (total * part) / filled)) {
      steps += ordered[at]?.steps.length ?? 0;
      at++;
    }
    cuts.push(at);
  }
  const own = index > filled ? [] : ordered.slice(cuts[index - 1], cuts[index]);
  return { scenarios: own, shard: { index, count, selection: selectionOf(ordered) } };
}

/** A hash of the selected scenarios, independent of their order. */
export function selectionOf(scenarios: readonly Pick<Scenario, "id" | "mesh">[]): string {
  const ids = inRunOrder(scenarios).map(({ id }) => id);
  return createHash("sha256").update(ids.join("\n")).digest("hex").slice(0, 16);
}

/** Longest time between the starts of the first and the last of merged runs that have no run set in common. */
const LONGEST_SET_MS = 24 * 3_600_000;

/**
 * An id that the runs of one pipeline share, from the CI system's variables or from MESHPROOF_RUN_SET. A repeated job keeps
 * its pipeline's id.
 */
export function runSetOf(env: Readonly<Record<string, string | undefined>>): string | undefined {
  const {
    MESHPROOF_RUN_SET,
    GITHUB_ACTIONS,
    GITHUB_REPOSITORY,
    GITHUB_RUN_ID,
    GITLAB_CI,
    CI_PROJECT_PATH,
    CI_PIPELINE_ID,
  } = env;
  if (MESHPROOF_RUN_SET) return MESHPROOF_RUN_SET;
  if (GITHUB_ACTIONS === "true" && GITHUB_RUN_ID) return `github ${GITHUB_REPOSITORY ?? ""} ${GITHUB_RUN_ID}`;
  return GITLAB_CI && CI_PIPELINE_ID ? `gitlab ${CI_PROJECT_PATH ?? ""} ${CI_PIPELINE_ID}` : undefined;
}

/** A run with the path that it was read from, for messages. */
export interface ReadRun {
  readonly place: string;
  readonly result: RunResult;
}

/**
 * Merges several runs into one result. Counts are computed from the scenarios, not taken from the files.
 * @param id of the result
 * @throws MeshproofError ERR_USAGE if they do not belong together: other versions, digests or inputs, another pipeline or
 * day, the same scenario twice, shards of different selections, or a shard that is missing or incomplete;
 * ERR_NOTHING_SELECTED if all of them are empty
 */
export function mergeRuns(runs: readonly ReadRun[], id: string): RunResult {
  const [first] = runs;
  if (first === undefined || runs.length < 2) throw refuse("one run is whole already", "name two or more");
  for (const run of runs.slice(1)) refuseDiffering(first, run);
  refuseApart(runs);
  refuseIncomplete(runs);
  refuseTwice(runs);
  refuseEmpty(runs);
  const results = [...runs]
    .sort((a, b) => (a.result.shard?.index ?? 0) - (b.result.shard?.index ?? 0))
    .map(({ result }) => result);
  const told = results.flatMap(({ notes = [] }) => notes);
  const notes = told.filter((note, index) => told.findIndex((other) => isDeepStrictEqual(other, note)) === index);
  const scenarios = results.flatMap((result) => result.scenarios);
  const latest = (pick: (timing: RunResult["timing"]) => number): number =>
    Math.max(...results.map(({ timing }) => pick(timing)));
  return {
    schemaVersion: 2,
    id,
    tool: first.result.tool,
    startedAt: results.map(({ startedAt }) => startedAt).sort()[0] ?? "",
    finishedAt:
      results
        .map(({ finishedAt }) => finishedAt)
        .sort()
        .at(-1) ?? "",
    command: [...new Set(results.map(({ command }) => command))].join(" && "),
    cluster: first.result.cluster,
    timing: {
      meshReadyMs: latest((t) => t.meshReadyMs),
      workloadsReadyMs: latest((t) => t.workloadsReadyMs),
      firstVerdictMs: Math.min(...results.map(({ timing }) => timing.firstVerdictMs)),
      totalMs: latest((t) => t.totalMs),
    },
    scenarios,
    counts: countOf(scenarios),
    ...(first.result.inputs && { inputs: first.result.inputs }),
    ...(results.some(({ interrupted }) => interrupted) ? { interrupted: true as const } : {}),
    notes: [{ kind: "merged", runs: results.map((result) => result.id) }, ...notes],
  };
}

function refuseDiffering(a: ReadRun, b: ReadRun): void {
  const facts = ({ result: { tool, cluster, inputs } }: ReadRun): Record<string, string | undefined> => ({
    meshproof: tool.version,
    "kind of cluster": cluster.kind,
    ...(cluster.kind === "existing" && { "name of the cluster": cluster.name }),
    ...cluster.versions,
    ...Object.fromEntries(Object.entries(cluster.digests).map(([name, digest]) => [`the digest of ${name}`, digest])),
    "the scenarios' files": inputs?.scenarios,
    "--profile": inputs?.profile,
    "the file of --known-failures": inputs?.knownFailures,
    "the pipeline (MESHPROOF_RUN_SET)": inputs?.runSet,
  });
  const [left, right] = [facts(a), facts(b)];
  for (const name of new Set([...Object.keys(left), ...Object.keys(right)]))
    if (right[name] !== left[name])
      throw refuse(
        `the runs differ in ${name}: ${left[name] ?? "nothing"} in ${a.place}, ${right[name] ?? "nothing"} in ${b.place}`,
        "merge runs of the same versions, files and options; meshproof diff compares others",
      );
}

/** Without a run set, runs of one day belong together. */
function refuseApart(runs: readonly ReadRun[]): void {
  if (runs.every(({ result }) => result.inputs?.runSet !== undefined)) return;
  const [earliest, ...later] = runs.toSorted((a, b) => Date.parse(a.result.startedAt) - Date.parse(b.result.startedAt));
  const latest = later.at(-1);
  if (earliest === undefined || latest === undefined) return;
  const apartMs = Date.parse(latest.result.startedAt) - Date.parse(earliest.result.startedAt);
  if (apartMs <= LONGEST_SET_MS) return;
  throw refuse(
    `${earliest.place} began at ${earliest.result.startedAt} and ${latest.place} at ${latest.result.startedAt}: more than a day apart`,
    "merge the runs of one day, or give those that belong together one MESHPROOF_RUN_SET",
  );
}

function refuseIncomplete(runs: readonly ReadRun[]): void {
  const shards = runs.flatMap(({ place, result: { shard } }) => (shard === undefined ? [] : [{ place, ...shard }]));
  const [first] = shards;
  if (first === undefined) return;
  const whole = runs.find(({ result }) => result.shard === undefined);
  if (whole !== undefined)
    throw refuse(`${whole.place} is not a shard, and ${first.place} is one`, "merge all shards of one selection");
  const other = shards.find(({ count, selection }) => count !== first.count || selection !== first.selection);
  if (other !== undefined)
    throw refuse(
      `${other.place} (shard ${other.index}/${other.count}) and ${first.place} (shard ${first.index}/${first.count}) are not of the same selection`,
      "run all shards with the same names, tags (or arguments of Playwright) and number of shards",
    );
  const twice = shards.find(({ index }, at) => shards.findIndex((other) => other.index === index) < at);
  if (twice !== undefined)
    throw refuse(
      `shard ${twice.index}/${twice.count} is there twice, the second time in ${twice.place}`,
      "name the results of every shard once",
    );
  const all = Array.from({ length: first.count }, (_, i) => i + 1);
  const missing = all.filter((index) => !shards.some((shard) => shard.index === index));
  if (missing.length > 0)
    throw refuse(
      `missing: shard ${missing.map((index) => `${index}/${first.count}`).join(", ")}`,
      "name the results of every shard; did one end before it wrote any?",
    );
  if (first.of === "arguments") return;
  const held = runs.flatMap(({ result }) => result.scenarios);
  const selection = selectionOf(uniqueById(held));
  if (selection !== first.selection)
    throw refuse(
      `the shards hold ${held.length} scenarios, which are not those of the selection that was split (${first.selection}, these are ${selection})`,
      "was a shard ended before all of its scenarios had run, or edited? Run it again",
    );
}

/** Removes duplicate scenarios, which have their own error. */
function uniqueById<S extends { readonly id: string }>(scenarios: readonly S[]): S[] {
  return [...new Map(scenarios.map((scenario) => [scenario.id, scenario])).values()];
}

function refuseTwice(runs: readonly ReadRun[]): void {
  const seen = new Map<string, string>();
  for (const { place, result } of runs)
    for (const { id } of result.scenarios) {
      const before = seen.get(id);
      if (before !== undefined)
        throw refuse(`${id} is in ${before} and in ${place}`, "a scenario may be in one of the results only");
      seen.set(id, place);
    }
}

function refuseEmpty(runs: readonly ReadRun[]): void {
  const scenarios = runs.flatMap(({ result }) => result.scenarios);
  if (scenarios.some(({ status }) => status !== "skipped")) return;
  const reasons = [...new Set(scenarios.map(({ id, reason }) => `${id}: ${reason ?? "skipped"}`))];
  throw new MeshproofError("ERR_NOTHING_SELECTED", ["nothing was judged in any of the runs", ...reasons].join("\n"), {
    hint: "a shard may be empty, and not all of them",
  });
}

function refuse(message: string, hint: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint });
}
