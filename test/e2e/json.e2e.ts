/** What AGENTS.md describes, on a mesh: a new scenario is written, checked and run, and every answer is JSON. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { after, test } from "node:test";
import { execa } from "execa";
import { PROJECT } from "../../cli/context.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { OUTPUTS } from "../../harness/model/outputs.ts";
import { runResult } from "../../harness/model/result.ts";

const folder = makeTempDir();
const name = `json-${process.pid}`;

async function meshproof(args: readonly string[], input?: string): Promise<{ output: unknown; exitCode?: number }> {
  const main = path.join(PROJECT, "cli/meshproof.mjs");
  const more = input === undefined ? { stdin: "ignore" as const } : { input };
  const { stdout, exitCode } = await execa(process.execPath, [main, ...args, "--json"], {
    ...{ cwd: folder, reject: false, env: { GITHUB_ACTIONS: "true" } },
    ...more,
  });
  return { output: JSON.parse(stdout), ...(exitCode !== undefined && { exitCode }) };
}

after(async () => void (await meshproof(["down", "--name", name])));

test("a scenario is written, checked, run and broken, and every answer is JSON", async () => {
  const own = ["--scenarios", "mine"];
  const { files } = OUTPUTS.new.parse((await meshproof(["new", "team/orders", ...own])).output);
  assert.ok(files.includes("mine/team/orders/scenario.yaml"));
  const text = readFileSync(path.join(folder, "mine/team/orders/scenario.yaml"), "utf8");
  const linted = OUTPUTS.lint.parse((await meshproof(["lint", "--stdin", "team/orders", ...own], text)).output);
  assert.deepEqual(linted, { scenarios: 1, problems: [] });

  const up = OUTPUTS.up.parse((await meshproof(["up", "--name", name, ...own])).output);
  assert.equal(up.cluster.name, name);
  assert.match(readFileSync(up.kubeconfig, "utf8"), /current-context/);

  const run = await meshproof(["run", "team/orders", "--name", name, ...own]);
  assert.equal(run.exitCode, 0);
  const result = runResult.parse(run.output);
  assert.deepEqual(run.output, JSON.parse(readFileSync(path.join(folder, "results/latest/results.json"), "utf8")));
  assert.equal(result.counts.passed, 12);

  const stopped = OUTPUTS.down.parse((await meshproof(["down", "--name", name])).output);
  assert.deepEqual(stopped, { cluster: "embedded", name, stopped: true });
});
