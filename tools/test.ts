/**
 * `npm test`: runs the checks, all scenarios, and the tests on a mesh that take less than a minute each. `npm run test:all`, which is
 * what CI runs, has every test. Both print the time of each stage, and a last line with the counts of all.
 */

import { readdir } from "node:fs/promises";
import path from "node:path";
import { parseArgs } from "node:util";
import { PROJECT } from "../cli/context.ts";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { formatDuration } from "../reports/text.ts";
import { table } from "../cli/table.ts";
import { runChecks } from "./check.ts";
import { add, type Counts, formatCounts } from "./counts.ts";
import { runTool } from "./tool.ts";

const { values: flags } = parseArgs({ options: { all: { type: "boolean", default: false } } });

/**
 * What `npm test` has of `test/e2e`: each takes less than a minute. The rest needs Docker or an image registry, starts clusters in
 * several ways, or waits for what goes wrong.
 */
const SHORT: ReadonlySet<string> = new Set(
  ["crashes", "embedded", "fuzz", "json", "planted", "rootless", "waypoint"].map((name) => `${name}.e2e.ts`),
);

/** The scenarios come before the rest, since they install and build with progress what all of it needs. */
const STAGES: Readonly<Record<string, string>> = {
  scenarios: "node cli/meshproof.mjs run --install",
  "the results folder": "node --test --test-reporter=spec tools/results-folder.ts",
  ...Object.fromEntries(
    (await endToEnd()).map((file) => [path.basename(file, ".ts"), `node --test --test-reporter=spec ${file}`]),
  ),
  "report in a browser": "playwright test --config reports/html/playwright.config.ts",
};

/** One after another: most of them keep both cores of a small machine busy. */
async function endToEnd(): Promise<string[]> {
  const folder = "test/e2e";
  const files = (await readdir(path.join(PROJECT, folder))).filter((name) => name.endsWith(".e2e.ts"));
  const gone = [...SHORT].filter((name) => !files.includes(name));
  if (gone.length > 0) throw new Error(`${folder} does not have ${gone.join(", ")}`);
  return files
    .filter((name) => flags.all || SHORT.has(name))
    .sort()
    .map((name) => `${folder}/${name}`);
}

interface Stage {
  readonly name: string;
  readonly counts: Counts;
  readonly ms: number;
  readonly output?: string;
}

/** So many last lines of a stage that failed are shown again before the counts: CI systems cut the middle of a long log. */
const AGAIN_LINES = 40;

// Every signature and private key of the scenarios' stage goes there, to be looked for in what it wrote.
process.env["MESHPROOF_SECRETS_FILE"] = path.join(makeTempDir(), "secrets.txt");

const stages: Stage[] = [];
console.log("── checks");
const start = performance.now();
stages.push({ name: "checks", counts: await runChecks(), ms: performance.now() - start });
for (const [name, command] of Object.entries(STAGES)) {
  console.log(`\n── ${name}: ${command}`);
  stages.push(await runTool(name, command, { live: true }));
}

for (const { name, counts, output } of stages)
  if (counts.failed > 0 && output !== undefined)
    console.log(`\n── failed: ${name}, its last lines\n${output.trimEnd().split("\n").slice(-AGAIN_LINES).join("\n")}`);

const total = stages.map(({ counts }) => counts).reduce(add);
const rows = stages.map(({ name, counts, ms }) => [name, formatCounts(counts), formatDuration(ms)]);
console.log(`\n${table(rows)}\n\n${formatCounts(total)}`);
process.exitCode = total.failed > 0 ? 1 : 0;
