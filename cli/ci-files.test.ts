import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { parse } from "yaml";
import packageJson from "../package.json" with { type: "json" };
import { PROJECT } from "./context.ts";
import { meshproof } from "./meshproof.fixture.ts";

interface Github {
  jobs: Record<
    string,
    {
      strategy?: { matrix: { shard: number[] } };
      steps: { run?: string; uses?: string; with?: Record<string, string> }[];
    }
  >;
}
interface Gitlab {
  meshproof: {
    script: string[];
    parallel: number;
    cache: { paths: string[] };
    artifacts: { reports: { junit: string } };
  };
  report: { script: string[] };
}
const read = (name: string): unknown => parse(readFileSync(path.join(PROJECT, "docs", "ci", name), "utf8"));
const github = read("github-actions.yml") as Github;
const gitlab = read("gitlab-ci.yml") as Gitlab;
const steps = Object.values(github.jobs).flatMap((job) => job.steps);
const commands = [...steps.flatMap(({ run }) => run ?? []), ...gitlab.meshproof.script, ...gitlab.report.script];

/** `meshproof` or npm with its arguments, without anything before it. */
function partsOf(command: string): string[] {
  const words = command.split(/\s+/);
  return words.slice(words.findIndex((word) => word === "npx" || word === "npm"));
}

describe("the workflow files", () => {
  for (const command of new Set(commands))
    it(`contain a command that exists: ${command}`, async () => {
      const [program, verb, ...args] = partsOf(command);
      if (program === "npm") {
        assert.ok(verb === "ci" || (verb === "run" && Object.hasOwn(packageJson.scripts, args[0] ?? "")), command);
        return;
      }
      assert.deepEqual([program, verb], ["npx", "meshproof"]);
      const [name = "", ...options] = args;
      const help = await meshproof([name, "--help"]);
      assert.equal(help.exitCode, 0);
      assert.match(help.stdout, new RegExp(`^Usage: meshproof ${name} `));
      for (const option of options.filter((word) => word.startsWith("--")))
        assert.ok(help.stdout.includes(` ${option}`), option);
    });

  it("run all shards and merge them", () => {
    const { shard = [] } = github.jobs["nightly"]?.strategy?.matrix ?? {};
    assert.deepEqual(
      shard,
      shard.map((_, i) => i + 1),
    );
    assert.ok(steps.some(({ run }) => run === `npx meshproof run --shard \${{ matrix.shard }}/${shard.length}`));
    assert.ok(gitlab.meshproof.parallel > 1);
    assert.ok(gitlab.meshproof.script.some((line) => line.endsWith("run --shard $CI_NODE_INDEX/$CI_NODE_TOTAL")));
    for (const lines of [steps.flatMap(({ run }) => run ?? []), gitlab.report.script])
      assert.ok(lines.some((line) => /^npx meshproof merge \S+ --out merged$/.test(line)));
  });

  it("run meshproof, cache its components and keep the results", () => {
    assert.ok(steps.some(({ run }) => run?.startsWith("npx meshproof run")));
    assert.ok(gitlab.meshproof.script.some((line) => line.startsWith("npx meshproof run")));
    assert.ok(
      steps.some(({ uses, with: given }) => uses?.startsWith("actions/cache@") && given?.path === "~/.cache/meshproof"),
    );
    assert.deepEqual(gitlab.meshproof.cache.paths, [".cache/meshproof"]);
    assert.ok(
      steps.some(({ uses, with: given }) => uses?.startsWith("actions/upload-artifact@") && given?.path === "results/"),
    );
    assert.equal(gitlab.meshproof.artifacts.reports.junit, "results/2*/junit.xml");
  });
});
