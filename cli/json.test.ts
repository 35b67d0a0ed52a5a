/** --json of every verb: one document that fits its published schema. What needs a cluster is tested in test/e2e/json.e2e.ts. */

import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { Ajv2020 } from "ajv/dist/2020.js";
import { failure, OUTPUTS } from "../harness/model/outputs.ts";
import { formatJson } from "../reports/json.ts";
import { allPassed, run } from "../test/recorded/change.ts";
import { PROJECT } from "./context.ts";
import { meshproof } from "./meshproof.fixture.ts";
import { lint } from "./verbs/lint.ts";
import { capture } from "./streams.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

const ajv = new Ajv2020({ formats: { "date-time": () => true } });
const STARTER = readFileSync(path.join(import.meta.dirname, "starter/scenario-starter.yaml"), "utf8");

/** Parses the only document on standard output, by the schema of the verb, and returns it. */
function parse(verb: keyof typeof OUTPUTS | "error", stdout: string): unknown {
  const value: unknown = JSON.parse(stdout);
  const published = JSON.parse(readFileSync(path.join(PROJECT, `schema/output/${verb}.schema.json`), "utf8")) as object;
  const validate = ajv.compile(published);
  validate(value);
  assert.deepEqual([validate.errors, { ...OUTPUTS, error: failure }[verb].safeParse(value).error], [null, undefined]);
  return value;
}

async function verbs(): Promise<string[]> {
  const { stdout } = await meshproof(["--help"]);
  const commands = stdout.slice(stdout.indexOf("Commands:"));
  return [...commands.matchAll(/^ {2}([a-z]+) /gm)].flatMap(([, name]) => name ?? []).filter((name) => name !== "help");
}

describe("--json", () => {
  it("is an option of every verb, and docs/json.md names all of them", async () => {
    const docs = readFileSync(path.join(PROJECT, "docs/json.md"), "utf8");
    const all = await verbs();
    assert.ok(all.length > 15, all.join());
    for (const verb of all.filter((name) => name !== "kubectl")) {
      const { stdout } = await meshproof([verb, "--help"]);
      assert.match(stdout, /^ {2}--json +print JSON/m, verb);
      assert.ok(docs.includes(`\`${verb}\``), `docs/json.md does not name ${verb}`);
    }
    for (const [, file] of docs.matchAll(/\]\(\.\.\/([\w./-]+)\)/g)) readFileSync(path.join(PROJECT, file ?? ""));
  });

  for (const [verb, args, exitCode] of [
    ["list", ["jwt/*"], 0],
    ["lint", [], 0],
    ["render", ["waypoint/deleted-waypoint"], 0],
    ["new", ["team/orders", "--scenarios", "mine"], 0],
    ["init", [], 0],
    ["init", [], 0],
    ["down", ["--name", "there-is-none"], 0],
    ["cleanup", [], 0],
    ["components", [], 0],
    ["images", [], 0],
    [
      "explain",
      ["--config-dump", path.join(PROJECT, "harness/oracle/fixtures/sidecar.json"), "--request", "GET /a"],
      0,
    ],
  ] as const)
    it(`of ${verb} fits its schema`, async () => {
      const result = await meshproof([verb, ...args, "--json"], { cwd: folder });
      assert.equal(result.exitCode, exitCode, result.stderr);
      parse(verb, result.stdout);
    });

  it("of doctor fits its schema, whatever this machine lacks", async () => {
    const { stdout, exitCode } = await meshproof(["doctor", "--json"], { cwd: folder });
    const { machine } = parse("doctor", stdout) as { machine: { ok: boolean } };
    assert.equal(exitCode, machine.ok ? 0 : 3);
  });

  it("of merge is its results.json", async () => {
    const [first, ...others] = allPassed().scenarios;
    for (const [name, scenarios] of [
      ["one", [first!]],
      ["two", others],
    ] as const)
      writeFileSync(path.join(folder, `${name}.json`), formatJson({ ...run(scenarios), id: name }));
    const { stdout } = await meshproof(["merge", "one.json", "two.json", "--out", "merged", "--json"], { cwd: folder });
    assert.equal(`${stdout}\n`, readFileSync(path.join(folder, "merged/results.json"), "utf8"));
  });

  it("of an error is a document, too, and the exit code stays", async () => {
    for (const [args, code, exitCode] of [
      [["list", "jwt/nothing"], "ERR_NOTHING_SELECTED", 2],
      [["diff", "none", "nothing"], "ERR_USAGE", 2],
      [["lint", "--wrong"], "ERR_USAGE", 2],
    ] as const) {
      const result = await meshproof([...args, "--json"]);
      assert.equal(result.exitCode, exitCode);
      assert.equal((parse("error", result.stdout) as { error: { code: string } }).error.code, code);
      assert.notEqual(result.stderr, "");
    }
    assert.equal((await meshproof(["list", "--json", "--help"])).exitCode, 0);
  });
});

describe("lint --stdin", () => {
  const scenarios = path.join(folder, "stdin");
  const check = async (text: string, stdin: string | true) => {
    const { stdout, returned } = await capture(() =>
      lint({ scenarios, stdin, json: true }, () => Promise.resolve(text)),
    );
    type Found = { scenarios: number; problems: { file: string; line: number; message: string; severity: string }[] };
    return { ...(parse("lint", stdout) as Found), exitCode: returned };
  };

  it("checks a text that is not saved, with the manifests of its folder", async () => {
    await meshproof(["new", "team/orders", "--scenarios", scenarios]);
    const own = STARTER.replace("name: starter", "name: orders");
    assert.deepEqual(await check(own, "team/orders"), { scenarios: 1, problems: [], exitCode: 0 });
    const { problems, exitCode, scenarios: can } = await check(own.replace("columns:", "colums:"), "team/orders");
    assert.equal(exitCode, 2);
    assert.equal(can, 0);
    assert.match(problems[0]?.file ?? "", /stdin\/team\/orders\/scenario\.yaml$/);
    const wrong = problems.find(({ message }) => message.includes('unknown key "colums"'));
    assert.equal(wrong?.line, own.split("\n").findIndex((line) => line.includes("columns:")) + 1);
    assert.equal(wrong.severity, "error");
    const unused = own.replace("    expired:", "    unused: { issuer: corp }\n    expired:");
    assert.deepEqual(
      (await check(unused, "team/orders")).problems.map(({ severity }) => severity),
      ["warning"],
    );
  });

  it("needs no folder: manifests that are not there are problems", async () => {
    const { problems } = await check(STARTER, true);
    assert.ok(
      problems.every(({ message }) => /there is no manifest/.test(message)),
      JSON.stringify(problems),
    );
    assert.ok(problems.length > 0);
    assert.match((await check("{", true)).problems[0]?.file ?? "", /stdin\/scenario\/scenario\.yaml$/);
  });

  it("refuses what is not <group>/<name>", async () => {
    await assert.rejects(
      lint({ scenarios, stdin: "orders" }, () => Promise.resolve("")),
      /<group>\/<name>/,
    );
  });
});

describe("AGENTS.md", () => {
  const text = readFileSync(path.join(PROJECT, "AGENTS.md"), "utf8");
  const commands = [...text.matchAll(/^npx meshproof ([^#\n]*[^#\s])/gm)].map(([, command]) => command ?? "");

  it("has commands that work in their order", async () => {
    const place = path.join(folder, "agents");
    await meshproof(["new", "team/first", "--scenarios", place]);
    assert.deepEqual(
      commands.map((command) => command.split(" ")[0]),
      ["list", "new", "lint", "lint", "render", "run"],
    );
    for (const command of commands) {
      const [line = "", input] = command.split(" < ");
      const args = [...line.trim().split(/\s+/), "--scenarios", place];
      if (args[0] === "run") args.push("--shard", "5/4"); // refused after all options were read, before a cluster starts
      if (input === undefined) {
        const { exitCode, stderr, stdout } = await meshproof(args);
        assert.equal(exitCode, args[0] === "run" ? 2 : 0, `${command}\n${stderr}${stdout}`);
        if (args[0] === "run") assert.match(stderr, /5\/4/);
      } else {
        const file = readFileSync(path.join(place, "team/orders", input), "utf8");
        const stdin = args[args.indexOf("--stdin") + 1]!;
        assert.equal((await capture(() => lint({ scenarios: place, stdin }, () => Promise.resolve(file)))).returned, 0);
      }
    }
  });

  it("links files that exist", () => {
    for (const [, file] of text.matchAll(/\]\(([\w./-]+)\)/g)) readFileSync(path.join(PROJECT, file ?? ""));
  });
});
