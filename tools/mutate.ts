/**
 * `npm run mutate -- [names, --tag …]`: proves that scenarios do not pass by luck. Each policy of each scenario is removed, given
 * another target, and inverted (or given another issuer), one at a time; one that decides nothing is made to decide. At least one check
 * must then fail, or the step must say that the policy holds elsewhere. Prints how many mutants of all were found, and those that were
 * not; exit code 1 if one of these has no reason in tools/survivors.yaml, one that has a reason was found, or one could not be judged.
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
import { downAtSignal } from "./down-at-signal.ts";
import { cutOffEachStep, pushLate, tellFault, withoutLogs, type FaultOutcome } from "./faults.ts";
import { fateOf, fileOf, mutantsOf, nameOf, type Fate, type Mutant } from "./mutants.ts";

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
downAtSignal(["--name", cluster]);
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
  const fates = new Map<string, Fate>();
  const those = (fate: Fate): string[] => [...fates].filter(([, one]) => one === fate).map(([id]) => id);
  for (const result of await run("--limit", String(LIMIT_S))) fates.set(result.id, fateOf(result));
  // Once more, with the time that every run has: a proxy that was slow says nothing of a mutant.
  const again = those("undecided");
  if (again.length > 0)
    for (const result of await run(...again)) fates.set(result.id, fateOf(result, { isPatient: true }));

  const file = path.join(import.meta.dirname, "survivors.yaml");
  const reasons = parse(await readFile(file, "utf8")) as Record<string, string>;
  const reasonOf = (words: string): string | undefined => reasons[words] ?? reasons[fileOf(words)];
  const killed = those("killed").map(describe);
  const survivors = those("survived").map(describe);
  const undecided = those("undecided").map(describe);
  const stale = killed.filter((words) => reasonOf(words) !== undefined);
  for (const id of those("invalid")) console.log(`refused by the API server: ${describe(id)}`);
  for (const words of undecided) console.log(`could not be judged, twice: ${words}`);
  for (const words of survivors)
    console.log(
      `survived: ${words}${reasonOf(words) === undefined ? "  [no reason is known]" : `\n  ${reasonOf(words)}`}`,
    );
  for (const words of stale) console.log(`killed, though survivors.yaml has a reason: ${words}`);
  const total = killed.length + survivors.length + undecided.length;
  told.push(
    `${killed.length}/${total} mutants killed (${((killed.length / total) * 100).toFixed(1)} %), ${undecided.length} could not be judged, ${those("skipped").length} skipped`,
  );
  if (stale.length + undecided.length > 0 || survivors.some((words) => reasonOf(words) === undefined))
    process.exitCode = 1;
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

async function run(...options: string[]): Promise<RunResult["scenarios"]> {
  const results = path.join(folder, "results");
  const { stderr } =
    await meshproof`node cli/meshproof.mjs run --name ${cluster} --scenarios ${folder} --results ${results} ${options}`;
  const text = await readFile(path.join(results, "latest/results.json"), "utf8").catch(() => undefined);
  if (text === undefined) throw new Error(stderr);
  return (JSON.parse(text) as RunResult).scenarios;
}

/** As survivors.yaml names it. */
function describe(id: string): string {
  const { scenario, mutant } = mutants.get(id)!;
  return nameOf(scenario, mutant);
}
