/** A selection split over several runs, and what they found put together again. */

import { createHash } from "node:crypto";
import { MeshproofError } from "./errors.ts";
import type { Counts, RunResult, Shard } from "./result.ts";
import { inRunOrder } from "./run/plan.ts";
import type { Scenario } from "./scenario/types.ts";

/** @throws MeshproofError ERR_USAGE where the text is not `i/n` with 1 <= i <= n */
export function parseShard(text: string): Pick<Shard, "index" | "count"> {
  const [, index, count] = (/^([1-9]\d{0,3})\/([1-9]\d{0,3})$/.exec(text) ?? []).map(Number);
  if (index === undefined || count === undefined || index > count)
    throw new MeshproofError("ERR_USAGE", `--shard takes i/n, such as 2/4, not "${text}"`);
  return { index, count };
}

/**
 * One part of a selection. Parts are runs of neighbours in run order, so that scenarios with the same mesh setting stay
 * together, with about as many steps each: a step is what takes time. Every scenario is in exactly one part. Where there are more
 * parts than scenarios the last ones are empty.
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
  const selection = createHash("sha256")
    .update(ordered.map(({ id }) => id).join("\n"))
    .digest("hex")
    .slice(0, 16);
  const own = index > filled ? [] : ordered.slice(cuts[index - 1], cuts[index]);
  return { scenarios: own, shard: { index, count, selection } };
}

/** A run with where it was read from, for messages. */
export interface ReadRun {
  readonly place: string;
  readonly result: RunResult;
}

/**
 * What several runs found, as one.
 * @param id of the result
 * @throws MeshproofError ERR_USAGE where they do not belong together: other versions, the same scenario twice, shards of
 * different selections, or a shard that is missing
 */
export function mergeRuns(runs: readonly ReadRun[], id: string): RunResult {
  const [first] = runs;
  if (first === undefined || runs.length < 2) throw refuse("one run is whole already", "name two or more");
  for (const run of runs.slice(1)) refuseDiffering(first, run);
  refuseIncomplete(runs);
  refuseTwice(runs);
  const results = [...runs]
    .sort((a, b) => (a.result.shard?.index ?? 0) - (b.result.shard?.index ?? 0))
    .map(({ result }) => result);
  const notes = [...new Set(results.flatMap(({ notes = [], shard }) => notes.filter((n) => n !== noteOf(shard))))];
  const latest = (pick: (timing: RunResult["timing"]) => number): number =>
    Math.max(...results.map(({ timing }) => pick(timing)));
  return {
    schemaVersion: 1,
    id,
    tool: first.result.tool,
    startedAt: results.map(({ startedAt }) => startedAt).sort()[0] ?? "",
    finishedAt:
      results
        .map(({ finishedAt }) => finishedAt)
        .sort()
        .at(-1) ?? "",
    command: [...new Set(results.map(({ command }) => command.replace(/ --shard \d+\/\d+/, "")))].join(" && "),
    cluster: first.result.cluster,
    timing: {
      meshReadyMs: latest((t) => t.meshReadyMs),
      workloadsReadyMs: latest((t) => t.workloadsReadyMs),
      firstVerdictMs: Math.min(...results.map(({ timing }) => timing.firstVerdictMs)),
      totalMs: latest((t) => t.totalMs),
    },
    scenarios: results.flatMap(({ scenarios }) => scenarios),
    counts: sum(results.map(({ counts }) => counts)),
    notes: [`merged from the runs ${results.map((result) => result.id).join(", ")}`, ...notes],
  };
}

/** What a report of a part says about itself. */
export function noteOf(shard: Shard | undefined): string | undefined {
  return shard && `shard ${shard.index} of ${shard.count}: the rest of the selection is in the other shards' results`;
}

function refuseDiffering(a: ReadRun, b: ReadRun): void {
  const facts = ({ result: { tool, cluster } }: ReadRun): Record<string, string> => ({
    meshproof: tool.version,
    "kind of cluster": cluster.kind,
    ...cluster.versions,
  });
  const [left, right] = [facts(a), facts(b)];
  for (const [name, value] of Object.entries(left))
    if (right[name] !== value)
      throw refuse(
        `the runs differ in ${name}: ${value} in ${a.place}, ${right[name] ?? "nothing"} in ${b.place}`,
        "merge runs of the same versions; meshproof diff compares others",
      );
}

function refuseIncomplete(runs: readonly ReadRun[]): void {
  const shards = runs.flatMap(({ place, result: { shard } }) => (shard === undefined ? [] : [{ place, ...shard }]));
  const [first] = shards;
  if (first === undefined) return;
  const whole = runs.find(({ result }) => result.shard === undefined);
  if (whole !== undefined)
    throw refuse(`${whole.place} is no shard, and ${first.place} is one`, "merge all shards of one selection");
  const other = shards.find(({ count, selection }) => count !== first.count || selection !== first.selection);
  if (other !== undefined)
    throw refuse(
      `${other.place} (shard ${other.index}/${other.count}) and ${first.place} (shard ${first.index}/${first.count}) are not of the same selection`,
      "run all shards with the same names, tags and number of shards",
    );
  const all = Array.from({ length: first.count }, (_, i) => i + 1);
  const missing = all.filter((index) => !shards.some((shard) => shard.index === index));
  if (missing.length > 0)
    throw refuse(
      `missing: shard ${missing.map((index) => `${index}/${first.count}`).join(", ")}`,
      "name the results of every shard; did one end before it wrote any?",
    );
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

function sum(all: readonly Counts[]): Counts {
  const total = { passed: 0, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
  for (const counts of all)
    for (const status of Object.keys(total) as (keyof Counts)[]) total[status] += counts[status];
  return total;
}

function refuse(message: string, hint: string): MeshproofError {
  return new MeshproofError("ERR_USAGE", message, { hint });
}
