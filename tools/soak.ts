/**
 * `npm run soak -- --repeat 20 [names, --tag …]`: runs the same scenarios many times on one cluster. Prints every answer that
 * changed, and how long enforcement took. Exit code 1 if a verdict changed, flaked or failed.
 */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { $ } from "zx";
import { makeTempDir } from "../clusters/temp-dir.ts";
import type { RunResult } from "../harness/model/result.ts";
import { formatDuration } from "../reports/text.ts";
import { PROJECT } from "../cli/context.ts";
import { downAtSignal } from "./down-at-signal.ts";
import { enforcementOf, quantile } from "./measure.ts";

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: { repeat: { type: "string", default: "20" }, tag: { type: "string", multiple: true, default: [] } },
});
const repeat = Number(values.repeat);
if (!Number.isInteger(repeat) || repeat < 1) throw new Error(`--repeat takes a whole number, not "${values.repeat}"`);

const folder = makeTempDir();
const name = `soak-${process.pid}`;
const meshproof = $({ cwd: PROJECT, stdio: ["ignore", "inherit", "inherit"], nothrow: true, verbose: false });
const selection = [...positionals, ...values.tag.flatMap((tag) => ["--tag", tag])];

/** Check to what it was each time: `200 workload passed` to how often. */
const seen = new Map<string, Map<string, number>>();
const enforced: number[] = [];
let flaky = 0;
let failedRuns = 0;
downAtSignal(["--name", name]);
try {
  if ((await meshproof`node cli/meshproof.mjs up --name ${name}`).exitCode !== 0) throw new Error("no cluster");
  for (let turn = 1; turn <= repeat; turn++) {
    console.log(`── ${turn} of ${repeat}`);
    const { exitCode } = await meshproof`node cli/meshproof.mjs run --name ${name} --results ${folder} ${selection}`;
    if (exitCode !== 0) failedRuns++;
    if (exitCode !== 0 && exitCode !== 1) throw new Error(`turn ${turn} ended with exit code ${exitCode}`);
    const result = JSON.parse(await readFile(path.join(folder, "latest", "results.json"), "utf8")) as RunResult;
    enforced.push(...enforcementOf(result.scenarios));
    flaky += result.counts.flaky;
    for (const scenario of result.scenarios)
      for (const step of scenario.steps)
        for (const { name: check, got, status } of step.checks) {
          const key = `${scenario.id}, ${step.name}: ${check}`;
          const answers = seen.get(key) ?? new Map<string, number>();
          const answer = `${got.status} from ${got.by}, ${status}`;
          seen.set(key, answers.set(answer, (answers.get(answer) ?? 0) + 1));
        }
  }
} finally {
  await meshproof`node cli/meshproof.mjs down --name ${name}`;
}

const changed = [...seen].filter(([, answers]) => answers.size > 1);
for (const [check, answers] of changed)
  console.log(`${check}\n${[...answers].map(([answer, times]) => `  ${times} times ${answer}`).join("\n")}`);
const [p50, p95, max] = [0.5, 0.95, 1].map((q) => formatDuration(quantile(enforced, q)));
console.log(`
${repeat} turns of ${seen.size} checks: ${changed.length} changed verdicts, ${flaky} flaky, ${failedRuns} turns not green
time to enforce: p50 ${p50}, p95 ${p95}, max ${max}`);
process.exitCode = changed.length + flaky + failedRuns > 0 ? 1 : 0;
