/** `npm run bench`: how long a run takes from nothing and on a warm cluster, and what the time goes into. */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { requireDocker } from "../clusters/kind/docker.ts";
import type { RunResult } from "../harness/model/result.ts";
import { formatDuration } from "../reports/text.ts";
import { table } from "../cli/table.ts";
import { measure } from "./measure.ts";
import type { Measures } from "./measure.ts";
import { runTool } from "./tool.ts";

const NAME = "bench";

/** The scenario whose verdict is awaited where only the start counts. */
const STARTER = "jwt/request-authentication-alone";

/** What a run of one scenario says of a cluster. */
const STARTING = new Set<keyof Measures>(["meshReady", "workloadsReady", "firstVerdict"]);

/** What the design asks for, on 2 cores with the components cached. */
const GOALS: Partial<Record<keyof Measures, readonly [cold: string, warm: string]>> = {
  firstVerdict: ["15 s", "3 s"],
  scenarioMedian: ["1 s", "1 s"],
  requestsPerSecond: ["334", "334"],
};

const WORDS: Record<keyof Measures, string> = {
  meshReady: "mesh ready",
  workloadsReady: "workloads ready",
  firstVerdict: "first verdict",
  end: "end",
  scenarios: "all its scenarios",
  scenarioMedian: "scenario, median",
  stepMedian: "step, median",
  stepP95: "step, 95th percentile",
  enforcedMedian: "enforcement, median",
  enforcedP95: "enforcement, 95th percentile",
  requestsPerSecond: "checks a second",
};

/** What `meshproof run` selects the documented scenarios by; without it, all. */
const DOCUMENTED = ["--tag", "documented"];

/** How many scenarios run side by side; the goal is for the best of them. */
const LANES = [1, 2, 4];
const LANES_GOAL = "75 s";

const folder = makeTempDir();
// First, since it builds what is not in the cache.
const { warm, lanes } = await runWarm();
const cold = await run("a run from nothing", ...DOCUMENTED);
const docker = await requireDocker().then(
  () => true,
  () => false,
);
const kind = docker ? await run("a run on kind from nothing, one scenario", STARTER, "--cluster", "kind") : undefined;
console.log(`\n${describe(cold, warm, kind)}\n\n${describeLanes(lanes)}`);

async function runWarm(): Promise<{ readonly warm: RunResult; readonly lanes: RunResult[] }> {
  await meshproof("up", "--name", NAME);
  try {
    const warm = await run("a run on a warm cluster", ...DOCUMENTED, "--name", NAME);
    const lanes: RunResult[] = [];
    for (const count of LANES) {
      const options = ["--name", NAME, "--lanes", String(count)];
      // The workloads of a new lane are not measured.
      if (count > 1) await run(`the workloads of ${count} lanes`, "authn", ...options);
      lanes.push(await run(`all scenarios, lanes: ${count}`, ...options));
    }
    return { warm, lanes };
  } finally {
    await meshproof("down", "--name", NAME);
  }
}

async function run(title: string, ...options: string[]): Promise<RunResult> {
  console.log(`\n── ${title}`);
  await meshproof("run", "--results", folder, ...options);
  return JSON.parse(await readFile(path.join(folder, "latest", "results.json"), "utf8")) as RunResult;
}

function describeLanes(runs: readonly RunResult[]): string {
  const rows = runs.map((result, index) => {
    const { passed, ...others } = result.counts;
    const rest = Object.values(others).reduce((total, count) => total + count, 0);
    return [String(LANES[index]), formatDuration(measure(result).scenarios), String(passed), String(rest)];
  });
  return `${table([["LANES", "ALL SCENARIOS, WARM", "PASSED", "OTHERS"], ...rows])}\n\ngoal with the best number of lanes: ${LANES_GOAL}`;
}

async function meshproof(...args: string[]): Promise<void> {
  const { ok } = await runTool(args.join(" "), ["node", "cli/meshproof.mjs", ...args].join(" "), { live: true });
  if (!ok) throw new Error(`meshproof ${args.join(" ")} failed`);
}

function describe(cold: RunResult, warm: RunResult, kind: RunResult | undefined): string {
  const [before, after] = [measure(cold), measure(warm)];
  const onKind = kind && measure(kind);
  const format = (key: keyof Measures, value: number): string =>
    key === "requestsPerSecond" ? String(Math.round(value)) : formatDuration(value);
  const rows = (Object.keys(WORDS) as (keyof Measures)[]).map((key) => {
    const [coldGoal = "", warmGoal = ""] = GOALS[key] ?? [];
    const started = onKind && STARTING.has(key) ? format(key, onKind[key]) : "";
    return [WORDS[key], format(key, before[key]), coldGoal, format(key, after[key]), warmGoal, started];
  });
  const without = onKind ? "" : "\n\nno kind column: Docker does not answer here";
  return table([["", "COLD", "GOAL", "WARM", "GOAL", "KIND, COLD"], ...rows]) + without;
}
