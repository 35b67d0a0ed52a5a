/** `npm run check`: runs every script of package.json whose name begins with `check:`, several at a time, and prints at the end what failed. */

import { pathToFileURL } from "node:url";
import { inLanes } from "../harness/lanes.ts";
import packageJson from "../package.json" with { type: "json" };
import { formatDuration } from "../reports/text.ts";
import { add, type Counts } from "./counts.ts";
import { runTool, type ToolResult } from "./tool.ts";

/** Two at a time: most of them keep one core busy. package.json has the longest first. */
const LANES = 2;

/** Runs all checks, shows one line each and then the output of those that failed. */
export async function runChecks(): Promise<Counts> {
  const checks = Object.entries(packageJson.scripts).filter(([name]) => name.startsWith("check:"));
  const run = async ([name, command]: [string, string]): Promise<ToolResult> => {
    const result = await runTool(name.slice("check:".length), command);
    console.log(`${result.ok ? "✔" : "✘"} ${result.name.padEnd(10)} ${formatDuration(result.ms)}`);
    return result;
  };
  const results = await inLanes(checks, run, LANES);
  for (const { name, output } of results.filter(({ ok }) => !ok))
    console.log(`\n── npm run check:${name}\n${output.trim()}`);
  return results.map(({ counts }) => counts).reduce(add);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { passed, failed } = await runChecks();
  console.log(failed === 0 ? `\nall ${passed} checks and unit tests passed` : `\n${failed} failed`);
  process.exitCode = failed === 0 ? 0 : 1;
}
