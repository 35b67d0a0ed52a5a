/** `npm test`: the checks, then everything that needs a cluster or a browser. The last line counts all of it. */

import path from "node:path";
import { makeTempDir } from "../clusters/temp-dir.ts";
import { requireDocker } from "../clusters/kind/docker.ts";
import { formatDuration } from "../reports/text.ts";
import { table } from "../cli/table.ts";
import { runChecks } from "./check.ts";
import { add, formatCounts } from "./counts.ts";
import type { Counts } from "./counts.ts";
import { runTool } from "./tool.ts";

/** The scenarios come before the rest, since they install and build with progress what all of it needs. */
const STAGES: Readonly<Record<string, string>> = {
  scenarios: "node cli/meshproof.mjs run --install",
  "the results folder": "node --test --test-reporter=spec tools/results-folder.ts",
  ...((await hasDocker()) ? { "scenarios on kind": "node cli/meshproof.mjs run --cluster kind --tag documented" } : {}),
  "end to end": 'node --test --test-concurrency=1 --test-reporter=spec "test/e2e/*.e2e.ts"',
  "report in a browser": "playwright test --config reports/html/playwright.config.ts",
};

/** Without Docker there is no kind cluster; its end-to-end test says so. */
async function hasDocker(): Promise<boolean> {
  return requireDocker().then(
    () => true,
    () => false,
  );
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
