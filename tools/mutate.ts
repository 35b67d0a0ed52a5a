/**
 * `npm run mutate -- [names, --tag …]`: proves that scenarios do not pass by luck. Each policy of each scenario is
 * removed, given another target, and inverted (or given another issuer), one at a time, and at least one check must then fail. Prints
 * how many mutants of all were found, and those that were not; exit code 1 if one of these has no reason in tools/survivors.yaml, or
 * one that has a reason was found.
 *
 * Then faults of the mesh, or with one of these options that one alone: `--policies` (what the first paragraph says), `--cut-off` (istiod is cut off before each step that
 * changes something), `--debounce 4` (pushes come so many seconds late, several numbers by commas), `--no-logs` (no access log
 * can be read). Prints counts; see faults.ts for what must hold.
 */

import { cp, mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { parse } from "yaml";
import { $ } from "zx";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { KEEP_WORKER_VARIABLE } from "../harness/run/settings.ts";
import type { RunResult } from "../harness/model/result.ts";
import type { Scenario } from "../harness/model/scenario.ts";
import { readScenarios, PROJECT, SCENARIOS } from "../cli/context.ts";
import { cutOffEachStep, pushLate, tellFault, withoutLogs, type FaultOutcome } from "./faults.ts";
import { fileOf, mutantsOf, nameOf, type Mutant } from "./mutants.ts";

/** How long a step may take to agree, in seconds: enough for what is slowest to be enforced, since a mutant mostly never is. */
const LIMIT_S = 2;

const { values, positionals } = parseArgs({
  args: process.argv.slice(2),
  allowPositionals: true,
  options: {
    tag: { type: "string", multiple: true, default: [] },
    policies: { type: "boolean", default: false },
    "cut-off": { type: "boolean", default: false },
    debounce: { type: "string" },
    "no-logs": { type: "boolean", default: false },
  },
});
const all = !values.policies && !values["cut-off"] && values.debounce === undefined && !values["no-logs"];
const debounces = (values.debounce ?? (all ? "4" : "")).split(",").filter(Boolean).map(Number);
if (debounces.some((seconds) => !(seconds >= 0 && seconds <= 60)))
  throw new Error(`--debounce takes seconds from 0 to 60, such as 0,4, not "${values.debounce}"`);
const scenarios = await readScenarios(SCENARIOS, positionals, values.tag);
const folder = makeTempDir();
const cluster = `mutate-${process.pid}`;
const mutants = new Map<string, { readonly scenario: Scenario; readonly mutant: Mutant }>();
const meshproof = $({
  cwd: PROJECT,
  stdio: ["ignore", "inherit", "pipe"],
  nothrow: true,
  verbose: false,
  env: { ...process.env, [KEEP_WORKER_VARIABLE]: "1" },
});

const told: string[] = [];
try {
  if (
    (await $({ cwd: PROJECT, stdio: "inherit", nothrow: true })`node cli/meshproof.mjs up --name ${cluster}`)
      .exitCode !== 0
  )
    throw new Error("no cluster");
  if (all || values.policies) await breakPolicies();
  if (all || values["cut-off"]) tell(await cutOffEachStep(cluster, scenarios, folder));
  if (all || values["no-logs"]) tell(await withoutLogs(cluster, scenarios, folder));
  for (const seconds of debounces) tell(await pushLate(cluster, scenarios, seconds, folder));
} finally {
  await meshproof`node cli/meshproof.mjs down --name ${cluster}`;
}
console.log(`\n${told.join("\n")}`);

function tell(outcome: FaultOutcome): void {
  told.push(tellFault(outcome));
  if (outcome.wrong.length > 0) process.exitCode = 1;
}

async function breakPolicies(): Promise<void> {
  for (const scenario of scenarios) for (const mutant of mutantsOf(scenario)) await write(scenario, mutant);
  console.log(`${mutants.size} mutants of ${scenarios.length} scenarios`);
  const result = await run();
  const file = path.join(import.meta.dirname, "survivors.yaml");
  const reasons = parse(await readFile(file, "utf8")) as Record<string, string>;
  const reasonOf = (words: string): string | undefined => reasons[words] ?? reasons[fileOf(words)];
  // What Istio's validation refuses is not a mutant: a mesh could not have it.
  const invalid = result.scenarios.filter(({ refused }) => refused !== undefined).map(({ id }) => describe(id));
  const survivors = result.scenarios.filter(({ status }) => status === "passed").map(({ id }) => describe(id));
  const total = result.scenarios.length - invalid.length;
  for (const words of invalid) console.log(`refused by the API server: ${words}`);
  for (const words of survivors)
    console.log(
      `survived: ${words}${reasonOf(words) === undefined ? "  [no reason is known]" : `\n  ${reasonOf(words)}`}`,
    );
  const stale = [...mutants.keys()]
    .map(describe)
    .filter((words) => reasonOf(words) !== undefined && ![...survivors, ...invalid].includes(words));
  for (const words of stale) console.log(`killed, though survivors.yaml has a reason: ${words}`);
  const killed = total - survivors.length;
  told.push(`${killed}/${total} mutants killed (${((killed / total) * 100).toFixed(1)} %)`);
  if (stale.length > 0 || survivors.some((words) => reasonOf(words) === undefined)) process.exitCode = 1;
}

async function write(scenario: Scenario, mutant: Mutant): Promise<void> {
  const name = `m${String(mutants.size + 1).padStart(4, "0")}`;
  const target = path.join(folder, "mutants", name);
  await mkdir(path.dirname(target), { recursive: true });
  await cp(path.join(SCENARIOS, scenario.id), target, { recursive: true });
  const file = path.join(target, "scenario.yaml");
  const text = await readFile(file, "utf8");
  await writeFile(file, text.replace(/^(\s+name:) .*$/m, `$1 ${name}`));
  await writeFile(path.join(target, path.basename(mutant.file)), mutant.text);
  mutants.set(`mutants/${name}`, { scenario, mutant });
}

async function run(): Promise<RunResult> {
  const results = path.join(folder, "results");
  const { stderr } =
    await meshproof`node cli/meshproof.mjs run --name ${cluster} --scenarios ${folder} --results ${results} --limit ${LIMIT_S}`;
  const text = await readFile(path.join(results, "latest/results.json"), "utf8").catch(() => undefined);
  if (text === undefined) throw new Error(stderr);
  return JSON.parse(text) as RunResult;
}

/** As survivors.yaml names it. */
function describe(id: string): string {
  const { scenario, mutant } = mutants.get(id)!;
  return nameOf(scenario, mutant);
}
