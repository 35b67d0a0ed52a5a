import { MeshproofError } from "../../harness/model/errors.ts";
import { findTrend } from "../../harness/trend/trend.ts";
import { formatTrend, formatTrendJson, writeTrend } from "../../reports/index.ts";
import { readRuns } from "../placed-runs.ts";
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
