import { readdir } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import { findTrend, type PlacedRun } from "../../harness/trend/trend.ts";
import { formatTrend, formatTrendJson, readResults, writeTrend } from "../../reports/index.ts";
import { print, printJsonText } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("trend", ["trend results", "trend results --out results", "trend results --json"])
  .argument("<folder>", "a folder of runs, such as results")
  .addOption(option.json())
  .option("--out <folder>", "write trend.html and trend.json there")
  .action(async (folder: string, options) => finish(trend(folder, options)));

interface TrendOptions {
  readonly json?: boolean;
  readonly out?: string;
}

export async function trend(folder: string, { json, out }: TrendOptions): Promise<number> {
  const { runs, leftOut } = await readRuns(folder);
  if (runs.length === 0)
    throw new MeshproofError("ERR_USAGE", [`${folder} holds no run that judged anything`, ...leftOut].join("\n"), {
      hint: "name a folder of runs, such as results",
    });
  const found = findTrend(runs, leftOut);
  const paths = out === undefined ? undefined : await writeTrend(found, out);
  if (json === true) printJsonText(formatTrendJson(found));
  else {
    print(formatTrend(found));
    if (paths !== undefined) print(`page: ${paths.html}`);
  }
  return 0;
}

/** Reads every folder with a results.json; `latest` is a link to one of them. Unreadable folders are reported. */
async function readRuns(folder: string): Promise<{ runs: PlacedRun[]; leftOut: string[] }> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${folder} cannot be read: ${(cause as Error).message}`, { cause });
  });
  const runs: PlacedRun[] = [];
  const leftOut: string[] = [];
  // One after the other, because reading a result needs many times its size in memory.
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    const place = path.join(folder, name);
    if (!(await readdir(place)).includes("results.json")) continue;
    try {
      runs.push({ folder: place, result: await readResults(place) });
    } catch (error) {
      leftOut.push((error as Error).message);
    }
  }
  return { runs, leftOut };
}
