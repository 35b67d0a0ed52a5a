import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, describe, it } from "node:test";
import { matrixFile } from "../harness/model/matrix.ts";
import type { RunResult } from "../harness/model/result.ts";
import { formatJson } from "../reports/json.ts";
import { allPassed, attacks, check, hostile, run, scenario, step } from "../test/recorded/change.ts";
import { redRun, upgradeRun } from "../test/recorded/results.ts";
import { meshproof } from "./meshproof.fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

const matrix = (...args: string[]) => meshproof(["matrix", ...args], { cwd: folder });
const read = (name: string): string => readFileSync(path.join(folder, name), "utf8");

function write(name: string, result: RunResult | string): string {
  const file = path.join(folder, name, "results.json");
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, typeof result === "string" ? result : formatJson(result));
  return `${name}/results.json`;
}

/** The same run with another version of Envoy. */
function withEnvoy(result: RunResult, envoy: string): RunResult {
  return {
    ...result,
    id: `run-${envoy}`,
    cluster: { ...result.cluster, versions: { ...result.cluster.versions, envoy } },
  };
}

describe("meshproof matrix", () => {
  const files = [write("runs/from", upgradeRun("from")), write("runs/to", upgradeRun("to"))];

  it("prints features and versions, what did not pass, and why that is known", async () => {
    const { stdout, exitCode } = await matrix(...files);
    assert.equal(exitCode, 0, stdout);
    assert.match(stdout, /^ +Istio 1\.30\S+ +Istio 1\.31\.0\n +Envoy 1\.36\.4 +Envoy 1\.40\.0\n/);
    assert.match(stdout, /^authz +1\/1 known +1\/1$/m);
    assert.match(
      stdout,
      /Envoy 1\.36\.4: 200 from workload, expected 403 from authorization\n {4}known: .*CVE-2026-26308/,
    );
    assert.match(stdout, /^every scenario passes with 2 versions, except for known differences in 1 scenario$/m);
  });

  it("takes files, runs' folders and folders of runs, each run once, and lists what it left out", async () => {
    write("runs/damaged", "{");
    const { stdout } = await matrix("runs", "runs/from", files[1]!);
    assert.match(stdout, /^note: left out: .*damaged.results\.json is not JSON/m);
    assert.match(stdout, /with 2 versions/);
    rmSync(path.join(folder, "runs/damaged"), { recursive: true });
  });

  it("writes the page, Markdown, JSON, a badge and a comment, and prints the same JSON", async () => {
    write("red", redRun());
    const { stdout, exitCode } = await matrix(
      "runs",
      "red",
      "--out",
      "out",
      "--github-comment",
      "comment.md",
      "--json",
    );
    assert.equal(exitCode, 1);
    assert.equal(`${stdout}\n`, read("out/matrix.json"));
    const { columns } = matrixFile.parse(JSON.parse(stdout));
    assert.deepEqual(
      columns.map(({ runs }) => runs.length),
      [1, 2],
    );
    const page = read("out/matrix.html");
    assert.match(page, /<a href="\.\.\/red\/report\.html">/);
    assert.match(page, /since 2026-11-28, before passed/);
    assert.match(read("out/matrix.md"), /^## meshproof matrix: scenarios fail with 1 of 2 versions$/m);
    assert.match(read("out/badge.svg"), /^<svg\s[^]*Istio 1\.30\S+ and 1\.31\.0: fails[^]*<\/svg>\n$/);
    assert.match(read("comment.md"), /^<!-- meshproof-matrix -->\n/);
  });

  it("writes a comment that GitHub takes, however much fails", async () => {
    const checks = Array.from({ length: 3000 }, (_, index) =>
      check(`c${index} ${"x".repeat(200)}`, {
        status: "failed",
        findings: [{ kind: "recorded", text: "because ".repeat(50) }],
      }),
    );
    write("bad", run([scenario("jwt/x", { status: "failed", steps: [step("s", { checks, status: "failed" })] })]));
    await matrix("bad", "--github-comment", "bad.md");
    assert.ok(read("bad.md").length < 65_536);
    assert.match(read("bad.md"), /\d+ more are in the page and in the JSON/);
  });

  it("shows hostile text as text", async () => {
    write("hostile/one", hostile());
    write("hostile/two", withEnvoy(hostile(), "1.1.1"));
    const { stdout } = await matrix("hostile", "--out", "hostile", "--github-comment", "hostile.md");
    assert.doesNotMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u202e]/);
    const page = read("hostile/matrix.html");
    for (const attack of Object.values(attacks)) if (/</.test(attack)) assert.ok(!page.includes(attack), attack);
    assert.equal(page.match(/<script/g)?.length, 1);
    for (const text of [read("hostile/matrix.md"), read("hostile.md"), read("hostile/badge.svg")])
      assert.doesNotMatch(text, /(?<!\\)<(script|img|iframe)|[\u0000-\u0009\u000b-\u001f\u202e]/);
  });

  it("refuses wrong usage before anything starts", async () => {
    mkdirSync(path.join(folder, "none"));
    write("one", allPassed());
    for (const [args, message] of [
      [[], /nothing to show[^]*--with/],
      [["none"], /none: no run that judged anything/],
      [["nowhere"], /nowhere cannot be read: it does not exist/],
      [["one", "--with", "1.2"], /has no Istio 1\.2/],
      [["one", "--with", "1.31@1.2"], /has no Envoy 1\.2/],
      [["one", "--with", "1.31@1.40@1"], /is not a version/],
      [["one", "--with", "1.31", "--only", "jwt/nothing"], /jwt\/nothing/],
    ] as const) {
      const { stderr, exitCode } = await matrix(...args);
      assert.equal(exitCode, 2, stderr);
      assert.match(stderr, message);
    }
  });
});
