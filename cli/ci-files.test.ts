import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { describe, it } from "node:test";
import { parse, parseAllDocuments } from "yaml";
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

describe("the action and the component", () => {
  interface Inputs {
    readonly [name: string]: { readonly description?: string; readonly default?: unknown };
  }
  const file = (name: string): string => readFileSync(path.join(PROJECT, name), "utf8");
  const action = parse(file("action.yml")) as {
    inputs: Inputs;
    runs: { steps: { run?: string; uses?: string; env?: Record<string, string> }[] };
  };
  const [head, body] = parseAllDocuments(file("templates/meshproof.yml")).map((document) => document.toJS() as unknown);
  const component = head as { spec: { inputs: Inputs } };
  const { meshproof: gitlabJob } = body as { meshproof: { script: string[]; variables: Record<string, string> } };

  it("have the inputs that the ready-made files use", () => {
    const workflow = read("github-action.yml") as Github;
    const used = Object.values(workflow.jobs).flatMap(({ steps }) =>
      steps.filter(({ uses }) => uses?.startsWith("OWNER/")),
    );
    assert.ok(used.length > 1);
    for (const { with: given = {} } of used)
      for (const name of Object.keys(given)) assert.ok(Object.hasOwn(action.inputs, name), name);
    const { include } = read("gitlab-component.yml") as { include: { inputs: object }[] };
    for (const name of Object.keys(include[0]?.inputs ?? {}))
      assert.ok(Object.hasOwn(component.spec.inputs, name), name);
  });

  it("describe each input, and use each", () => {
    const text = file("action.yml");
    for (const [name, { description }] of Object.entries(action.inputs)) {
      assert.ok(description !== undefined && description.length > 10, name);
      assert.ok(text.includes(`inputs.${name}`), `${name} is not used`);
    }
    const template = file("templates/meshproof.yml");
    for (const name of Object.keys(component.spec.inputs)) assert.ok(template.includes(`$[[ inputs.${name} ]]`), name);
  });

  it("give nothing of a pull request to a shell but by its environment", () => {
    for (const { run: script = "" } of action.runs.steps) assert.doesNotMatch(script, /\$\{\{/);
    for (const line of gitlabJob.script) assert.doesNotMatch(line, /\$\[\[/);
  });

  it("call meshproof with options that exist", async () => {
    const scripts = [...action.runs.steps.map(({ run: script = "" }) => script), ...gitlabJob.script];
    const helps = new Map<string, string>();
    for (const verb of ["run", "matrix", "doctor"]) helps.set(verb, (await meshproof([verb, "--help"])).stdout);
    const options = scripts.flatMap((script) => [
      ...script.matchAll(/(?:args\+?=\(|set -- "\$@" |set -- |matrix .*|doctor )(--[a-z-]+)/g),
    ]);
    assert.ok(options.length > 12, String(options.length));
    for (const [, option = ""] of options)
      assert.ok(
        [...helps.values()].some((help) => help.includes(` ${option} `) || help.includes(` ${option}\n`)),
        option,
      );
  });
});
