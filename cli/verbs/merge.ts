import { existsSync } from "node:fs";
import { cp } from "node:fs/promises";
import path from "node:path";
import { mergeRuns } from "../../harness/shards.ts";
import { exitCode, formatSummary, readResults, writeReports } from "../../reports/index.ts";
import { formatJson } from "../../reports/json.ts";
import { newRunId } from "../run-id.ts";
import { isTerminal, printJsonText, printPainted } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("merge", ["merge shard-1/latest shard-2/latest --out results/merged"])
  .argument("<results...>", "folders of runs, or their results.json")
  .requiredOption("--out <folder>", "where the reports are written")
  .addOption(option.json())
  .action(async (places: string[], options) => finish(merge(places, options)));

interface MergeOptions {
  readonly out: string;
  readonly json?: boolean;
}

export async function merge(places: readonly string[], { out, json }: MergeOptions): Promise<number> {
  const runs = await Promise.all(
    places.map(async (place) => ({ place, result: await readResults(place, { unjudged: true, old: false }) })),
  );
  const result = mergeRuns(runs, newRunId());
  for (const { place } of runs) {
    const diagnostics = path.join(place.endsWith(".json") ? path.dirname(place) : place, "diagnostics");
    if (existsSync(diagnostics)) await cp(diagnostics, path.join(out, "diagnostics"), { recursive: true });
  }
  const { html } = await writeReports(result, out);
  if (json === true) printJsonText(formatJson(result));
  else printPainted(formatSummary(result, { color: isTerminal(), report: path.relative("", html) }));
  return exitCode(result);
}
