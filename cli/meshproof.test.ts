import assert from "node:assert/strict";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { execa } from "execa";
import { parseAllDocuments } from "yaml";
import { SCENARIOS } from "./context.ts";
import { meshproof as run } from "./meshproof.fixture.ts";

const meshproof = (...args: string[]) => run(args, { env: { CI: "true" } });
/** Starts it like a shell; only for help, a mistake and one verb, since all other tests use this process. */
const inProcessOfItsOwn = (...args: string[]) =>
  execa(process.execPath, [path.join(import.meta.dirname, "meshproof.mjs"), ...args], {
    reject: false,
    stdin: "ignore",
    env: { CI: "true" },
  });

describe("help", () => {
  it("names every verb and every exit code", async () => {
    const { stdout, exitCode } = await inProcessOfItsOwn("--help");
    assert.equal(exitCode, 0);
    for (const verb of ["run", "up", "down", "list", "new", "lint", "render", "doctor", "components", "kubectl"])
      assert.match(stdout, new RegExp(`^  ${verb} `, "m"));
    assert.match(stdout, /^ {2}130 {2}interrupted$/m);
  });

  for (const verb of ["run", "up", "down", "list", "new", "lint", "render", "doctor", "components", "kubectl"])
    it(`of ${verb} has an example`, async () => {
      const { stdout, exitCode } = await meshproof(verb, "--help");
      assert.equal(exitCode, 0);
      assert.match(stdout, new RegExp(`Examples:\n {2}\\$ meshproof ${verb}`));
    });

  it("is printed for a command without a verb, as a mistake", async () => {
    const { stderr, exitCode } = await meshproof();
    assert.equal(exitCode, 2);
    assert.match(stderr, /^Usage: meshproof/);
  });
});

describe("mistakes are exit code 2 and a sentence", () => {
  it("an unknown verb, with a suggestion", async () => {
    const { stderr, exitCode } = await inProcessOfItsOwn("rum");
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: unknown command 'rum'\n\(Did you mean run\?\)/);
  });

  it("an unknown option", async () => {
    const { stderr, exitCode } = await meshproof("list", "--tags", "documented");
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: unknown option '--tags'\n\(Did you mean --tag\?\)/);
  });

  for (const verb of ["lint", "list"])
    it(`${verb} of a folder without scenarios, with a suggestion`, async () => {
      const empty = mkdtempSync(path.join(tmpdir(), "meshproof-empty-"));
      for (const [folder, words] of [
        [empty, `it has no <group>/<name>/scenario.yaml`],
        [path.join(empty, "nowhere"), "it does not exist"],
        [path.dirname(SCENARIOS), `did you mean --scenarios ${path.relative("", SCENARIOS)}?`],
        [path.join(SCENARIOS, "jwt/request-authentication-alone"), `--scenarios ${path.relative("", SCENARIOS)}?`],
      ] as const) {
        const { stdout, stderr, exitCode } = await meshproof(verb, "--scenarios", folder);
        assert.equal(exitCode, 2, stdout);
        assert.match(stderr, /^error: there are no scenarios in /);
        assert.ok(stderr.includes(words), stderr);
      }
      rmSync(empty, { recursive: true });
    });

  it("a limit that is not a time", async () => {
    const { stderr, exitCode } = await meshproof("run", "--limit", "soon");
    assert.equal(exitCode, 2);
    assert.equal(stderr, 'error: --limit takes seconds, such as 30 or 30s, not "soon"');
  });

  it("a scenario that does not exist, with those that are close", async () => {
    const { stderr, exitCode } = await meshproof("run", "skip-jwt-for-path");
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: no scenario matches "skip-jwt-for-path"\n {2}did you mean .*"skip-jwt-for-paths"/);
  });

  it("a tag that no scenario has", async () => {
    const { stderr, exitCode } = await meshproof("run", "--tag", "nothing-has-this");
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: no scenario has the tag "nothing-has-this"\n {2}tags are .*documented/);
  });

  it("rendering several scenarios at once", async () => {
    const { stderr, exitCode } = await meshproof("render", "jwt");
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: render takes one scenario, "jwt" means \d+\n {2}name one of jwt\//);
  });
});

describe("a scenario with a typo in a key", () => {
  const root = path.join(mkdtempSync(path.join(tmpdir(), "meshproof-test-")), "scenarios");
  after(() => rmSync(path.dirname(root), { recursive: true }));
  const id = "paths/skip-jwt-for-paths";
  for (const part of ["issuers", "workloads", id])
    cpSync(path.join(SCENARIOS, part), path.join(root, part), { recursive: true });
  const file = path.join(root, id, "scenario.yaml");
  const lines = readFileSync(file, "utf8").split("\n");
  const line = lines.findIndex((text) => text.includes("columns:"));
  const column = (lines[line] ?? "").indexOf("columns:") + 1;
  writeFileSync(file, lines.with(line, (lines[line] ?? "").replace("columns:", "colums:")).join("\n"));
  const complaint = `scenarios/${id}/scenario.yaml:${line + 1}:${column} unknown key "colums" in checks; did you mean "columns"?`;

  it("stops a run before anything starts", async () => {
    const { stderr, exitCode } = await meshproof("run", "--scenarios", root);
    assert.equal(exitCode, 2);
    assert.match(stderr, /^error: scenarios\/paths\/skip-jwt-for-paths\/scenario\.yaml:\d+:\d+ /);
    assert.ok(stderr.includes(complaint), stderr);
  });

  it("is what lint prints", async () => {
    const { stdout, exitCode } = await meshproof("lint", "--scenarios", root);
    assert.equal(exitCode, 2);
    assert.ok(stdout.split("\n").includes(complaint), stdout);
    assert.match(stdout, /0 scenarios can run, [1-9]\d* problems?$/);
  });
});

describe("a new scenario", () => {
  const root = path.join(mkdtempSync(path.join(tmpdir(), "meshproof-test-")), "mine");
  after(() => rmSync(path.dirname(root), { recursive: true }));

  it("has no problems, in a folder that did not exist", async () => {
    const { stdout, exitCode } = await meshproof("new", "team/orders", "--scenarios", root);
    assert.equal(exitCode, 0);
    assert.match(stdout, /wrote \S*mine\/team\/orders\/scenario\.yaml/);
    assert.match(stdout, /meshproof run team\/orders --scenarios \S*mine/);
    const lint = await meshproof("lint", "--scenarios", root);
    assert.equal(lint.stdout, "1 scenario can run, 0 problems");
  });

  it("never replaces one", async () => {
    const file = path.join(root, "team/orders/scenario.yaml");
    writeFileSync(file, "mine");
    const { stderr, exitCode } = await meshproof("new", "team/orders", "--scenarios", root);
    assert.equal(exitCode, 2);
    assert.match(stderr, /team\/orders exists already, and nothing is overwritten/);
    assert.equal(readFileSync(file, "utf8"), "mine");
  });

  it("has a name that can be an id", async () => {
    for (const id of ["orders", "Team/Orders", "../orders/x", "issuers/mine"]) {
      const { stderr, exitCode } = await meshproof("new", id, "--scenarios", root);
      assert.equal(exitCode, 2);
      assert.match(stderr, /a scenario is named <group>\/<name>/);
    }
  });
});

describe("what needs no cluster", () => {
  it("lists what was never seen apart", async () => {
    const { stdout } = await meshproof("list", "ambient/strict", "paths/skip-jwt-for-paths");
    assert.match(stdout, /^ambient\/strict +2 +\(not verified\) In ambient mode/m);
    assert.match(stdout, /^1 scenario with \d+ checks; and 1 scenario with 2 checks that are not verified/m);
    const verified = await meshproof("list", "paths/skip-jwt-for-paths");
    assert.match(verified.stdout, /\n1 scenario with \d+ checks$/);
  });

  it("lists scenarios as JSON", async () => {
    const { stdout, exitCode } = await meshproof("list", "paths", "--json");
    assert.equal(exitCode, 0);
    const rows = JSON.parse(stdout) as { id: string; title: string; source: string; checks: number; tags: string[] }[];
    assert.ok(rows.length > 0);
    for (const row of rows) {
      assert.match(row.id, /^paths\//);
      assert.ok(row.checks > 0 && row.title !== "" && row.source !== "");
    }
  });

  it("renders manifests without a substitution left", async () => {
    const { stdout, exitCode } = await meshproof("render", "jwt/jwks-outside-https-hybrid");
    assert.equal(exitCode, 0);
    assert.doesNotMatch(stdout, /\$\{/);
    assert.match(stdout, /jwksUri: https:\/\/192-0-2-1\.meshproof-outside\.pod\.cluster\.local\/jwks\//);
    for (const document of parseAllDocuments(stdout)) assert.deepEqual(document.errors, []);
  });

  it("finds no problem in the project's scenarios", async () => {
    const { stdout, exitCode } = await inProcessOfItsOwn("lint");
    assert.equal(exitCode, 0);
    assert.match(stdout, /^\d+ scenarios can run, 0 problems$/);
  });
});
