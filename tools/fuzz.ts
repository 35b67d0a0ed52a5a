/**
 * `npm run fuzz -- --cases 10000 --seed 1`: generates policies, tokens and requests, gives them to a real mesh, and compares each
 * answer with what the oracle reads in the config of the proxy that judges. Exit code 1 where one disagrees, or a proxy did not take its config. `--name` is a kept cluster.
 */

import { parseArgs } from "node:util";
import { attachEmbedded, startEmbedded } from "../clusters/embedded/embedded.ts";
import { SCENARIOS } from "../cli/context.ts";
import { table } from "../cli/table.ts";
import { formatDuration } from "../reports/text.ts";
import { fuzz } from "./fuzz/run.ts";

const { values } = parseArgs({
  options: {
    cases: { type: "string", default: "1000" },
    seed: { type: "string", default: "1" },
    workloads: { type: "string", default: "8" },
    name: { type: "string" },
    // Seconds that a proxy may take for its config, as of `meshproof run`.
    "push-limit": { type: "string", default: "60" },
  },
});
const numberOf = (name: "cases" | "seed" | "workloads" | "push-limit"): number => {
  const number = Number(values[name]);
  if (!Number.isInteger(number) || number < 1) throw new Error(`--${name} takes a whole number, not "${values[name]}"`);
  return number;
};
const [cases, seed, workloads] = [numberOf("cases"), numberOf("seed"), numberOf("workloads")];

const start = performance.now();
const progress = (words: string): void => console.error(`[${formatDuration(performance.now() - start)}] ${words}`);
progress("starting a cluster");
const cluster =
  values.name === undefined
    ? await startEmbedded({ name: `fuzz-${process.pid}`, keep: false, progress })
    : await attachEmbedded(values.name);
if (cluster === undefined) throw new Error(`no cluster named "${values.name}" is running`);
try {
  const limits = { inForceLimitMs: 1000 * numberOf("push-limit") };
  const found = await fuzz(cluster, { cases, seed, workloads, scenariosRoot: SCENARIOS, progress, ...limits });
  const { agree, undecided, disagree, missing, answers, disagreements, objects, refused, seconds, kinds, leftOut } =
    found;
  const all = agree + undecided + disagree;
  const rows = (map: ReadonlyMap<string, number>): string =>
    table([...map].sort(([, a], [, b]) => b - a).map(([what, times]) => [String(times), what]));
  console.log(`What the mesh answered\n${rows(answers)}\n`);
  if (undecided > 0) console.log(`Undecided, by the missing fact\n${rows(missing)}\n`);
  for (const one of disagreements) console.log(`── disagrees\n${one}\n`);
  for (const one of leftOut) console.log(`── left out, since its proxy did not take its config\n${one}\n`);
  console.log(`${kinds.sidecar} at sidecars, ${kinds.gateway} at the gateway, ${kinds.waypoint} through a waypoint`);
  console.log(`seed ${seed}: ${all} requests to ${objects} objects (${refused} refused by the API server) in ${formatDuration(seconds * 1000)}
${agree} agree, ${undecided} undecided (${((100 * undecided) / all).toFixed(1)} %), ${disagree} disagree`);
  process.exitCode = disagree > 0 || leftOut.length > 0 ? 1 : 0;
} finally {
  await cluster[Symbol.asyncDispose]();
}
