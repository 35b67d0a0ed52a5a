import path from "node:path";
import { mergeRuns } from "../../harness/shards.ts";
import { exitCode, formatSummary, readResults, writeReports } from "../../reports/index.ts";
import { newRunId } from "./run.ts";

export async function merge(places: readonly string[], { out }: { readonly out: string }): Promise<number> {
  const runs = await Promise.all(
    places.map(async (place) => ({ place, result: await readResults(place, { unjudged: true }) })),
  );
  const result = mergeRuns(runs, newRunId());
  const { html } = await writeReports(result, out);
  console.log(formatSummary(result, { color: process.stdout.isTTY, report: path.relative("", html) }));
  return exitCode(result);
}
