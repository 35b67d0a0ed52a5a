/**
 * `npm run bench [-- --repeat 3]`: measures how fast meshproof is, on the embedded cluster and, if Docker responds, on kind. The
 * runs alternate, so that both clusters are measured in the same hour. It prints the README's table.
 */

import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { availableParallelism, cpus, release, totalmem } from "node:os";
import path from "node:path";
import { parseArgs, promisify } from "node:util";
import { cacheRoot } from "../clusters/components/cache.ts";
import { findRunDir, readHolder } from "../clusters/embedded/run-dir.ts";
import { docker, requireDocker } from "../clusters/kind/docker.ts";
import { containerName } from "../clusters/kind/kind-container.ts";
import { makeTempDir } from "../clusters/temp-dir.ts";
import type { RunResult } from "../harness/model/result.ts";
import { table } from "../cli/table.ts";
import { downAtSignal } from "./down-at-signal.ts";
import { formatFigure, measure, quantile, ratioOf, type Figure } from "./measure.ts";
import { descendantsOf } from "./processes.ts";
import { runTool } from "./tool.ts";

type Kind = "embedded" | "kind";

/** The scenario whose verdict is awaited where only the start counts. */
const STARTER = "jwt/request-authentication-alone";

/** How many scenarios run side by side. */
const LANES = [1, 2, 4];

/** What is asked for, on 2 cores with the components in the cache. */
const GOALS: Readonly<Record<string, string>> = {
  "nothing to first verdict": "10 s",
  "warm to first verdict": "2 s",
  "all scenarios, best lanes": "75 s",
};

const { values } = parseArgs({ options: { repeat: { type: "string", default: "3" } } });
const repeat = Number(values.repeat);
if (!Number.isInteger(repeat) || repeat < 1) throw new Error(`--repeat takes a whole number, not "${values.repeat}"`);

const folder = makeTempDir();
const shell = promisify(execFile);
const found = new Map<string, Record<Kind, number[]> & { readonly figure: Figure }>();
const hasDocker = await requireDocker().then(
  () => true,
  () => false,
);
const kinds: readonly Kind[] = hasDocker ? ["embedded", "kind"] : ["embedded"];
// What is not in the cache is not measured.
for (const kind of kinds) await turn(kind, () => undefined);
for (let count = 0; count < repeat; count++) for (const kind of kinds) await turn(kind, add);
console.log(
  `\n${describeMachine()}\n\n${describe()}${hasDocker ? "" : "\n\nno columns for kind: Docker does not answer here"}`,
);

function add(kind: Kind, name: string, value: number, figure: Figure = "ms"): void {
  const row = found.get(name) ?? { embedded: [], kind: [], figure };
  row[kind].push(value);
  found.set(name, row);
}

/** Everything once on a cluster of its own. */
async function turn(kind: Kind, note: typeof add): Promise<void> {
  const name = `bench-${kind}`;
  const on = ["--name", name, ...(kind === "kind" ? ["--cluster", "kind"] : [])];
  const ended = new AbortController();
  downAtSignal(on, ended.signal);
  try {
    const cold = await run(`${kind}: from nothing`, STARTER, ...on, "--keep");
    note(kind, "nothing to first verdict", measure(cold).firstVerdict);
    if (note !== add) return;
    const warm = await run(`${kind}: on the warm cluster`, STARTER, ...on);
    note(kind, "warm to first verdict", measure(warm).firstVerdict);
    const best: number[] = [];
    for (const lanes of LANES) {
      const options = [...on, "--lanes", String(lanes)];
      // The workloads of a new lane are not measured.
      if (lanes > 1) await run(`${kind}: the workloads of ${lanes} lanes`, "authn", "tokens", ...options);
      const all = await run(`${kind}: all scenarios, lanes: ${lanes}`, ...options);
      const { scenarios, scenarioMedian, requestsPerSecond, end } = measure(all);
      const checks = Object.values(all.counts).reduce((total, count) => total + count, 0);
      if (lanes === 1) {
        note(kind, "one more scenario", scenarioMedian);
        note(kind, "requests a second", requestsPerSecond, "rate");
      }
      note(kind, `checks a second, lanes: ${lanes}`, (checks / scenarios) * 1000, "rate");
      note(kind, `all scenarios, lanes: ${lanes}`, scenarios);
      note(kind, `the whole command, lanes: ${lanes}`, end);
      best.push(scenarios);
    }
    note(kind, "all scenarios, best lanes", Math.min(...best));
    const used = await (kind === "embedded" ? usedByEmbedded(name) : usedByKind(name));
    note(kind, "memory, with the workloads of 4 lanes", used.memory, "bytes");
    if (used.disk !== undefined) note(kind, "disk, cache included", used.disk, "bytes");
  } finally {
    await meshproof("down", ...on);
    ended.abort();
  }
}

async function run(title: string, ...options: string[]): Promise<RunResult> {
  console.log(`\n── ${title}`);
  await meshproof("run", "--results", folder, ...options);
  return JSON.parse(await readFile(path.join(folder, "latest", "results.json"), "utf8")) as RunResult;
}

/** @throws where it fails: figures of a run that is not green prove nothing */
async function meshproof(...args: string[]): Promise<void> {
  const { ok } = await runTool(args.join(" "), ["node", "cli/meshproof.mjs", ...args].join(" "), { live: true });
  if (!ok) throw new Error(`meshproof ${args.join(" ")} failed`);
}

interface Used {
  readonly memory: number;
  readonly disk?: number;
}

/** The memory of all processes, each page counted once (PSS), and the bytes of the cluster's folder and the cache. */
async function usedByEmbedded(name: string): Promise<Used> {
  const dir = findRunDir(name);
  const holder = dir && (await readHolder(dir));
  if (dir === undefined || holder === undefined) throw new Error(`no cluster ${name}`);
  const pids = [holder, ...(await descendantsOf(holder))];
  const maps = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => "")));
  const memory = maps.reduce((total, text) => total + Number(/^Pss:\s+(\d+)/m.exec(text)?.[1] ?? 0) * 1024, 0);
  const sizes = await Promise.all([dir.path, cacheRoot()].map(async (at) => (await shell("du", ["-sbx", at])).stdout));
  return { memory, disk: sizes.reduce((total, text) => total + Number.parseInt(text, 10), 0) };
}

async function usedByKind(name: string): Promise<Used> {
  const text = await docker(["stats", "--no-stream", "--format", "{{.MemUsage}}", containerName(name)]);
  const [, number = "NaN", unit = ""] = /^([\d.]+)([KMG]i)B/.exec(text) ?? [];
  return { memory: Number(number) * 1024 ** (["", "Ki", "Mi", "Gi"].indexOf(unit) || NaN) };
}

function describeMachine(): string {
  const [cpu] = cpus();
  const memory = (totalmem() / 2 ** 30).toFixed(0);
  return `${availableParallelism()} cores (${cpu?.model ?? "unknown"}), ${memory} GiB, Linux ${release()}, ${repeat} times each`;
}

function describe(): string {
  const rows = [...found].map(([name, { figure, ...by }]) => {
    const cells = kinds.flatMap((kind) => [0, 0.5].map((q) => formatFigure(figure, quantile(by[kind], q))));
    return [name, ...cells, ...(hasDocker ? [ratioOf(by.kind, by.embedded)] : []), GOALS[name] ?? ""];
  });
  const heads = kinds.flatMap((kind) => [`${kind.toUpperCase()}, MIN`, "MEDIAN"]);
  return table([["", ...heads, ...(hasDocker ? ["RATIO"] : []), "GOAL"], ...rows]);
}
