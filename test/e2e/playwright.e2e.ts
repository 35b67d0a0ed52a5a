/** Playwright's own flags and reports, on one kept cluster: they do what Playwright documents, and a failure shows the reason. */

import assert from "node:assert/strict";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { JSONReport, JSONReportSpec, JSONReportSuite } from "@playwright/test/reporter";
import { execa } from "execa";
import { findSecrets } from "../../cli/find-secrets.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { LIMIT_MS, IN_FORCE_LIMIT_MS, SETTINGS_VARIABLE, type RunSettings } from "../../harness/run/settings.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `playwright-${process.pid}`;
const CLI = createRequire(import.meta.url).resolve("@playwright/test/cli");
const FAILING = "paths/skip-jwt-for-paths";
const SCENARIOS = ["authz/deny-all", "jwt/algorithms", FAILING];
const SELECTED = ["--grep", SCENARIOS.map((id) => `${id} `).join("|")];

const specsOf = ({ specs, suites = [] }: JSONReportSuite): JSONReportSpec[] => [...specs, ...suites.flatMap(specsOf)];

describe("npx playwright test", () => {
  let folder: string;
  let settings: RunSettings;

  const run = async (...args: string[]) => {
    const json = path.join(folder, "report.json");
    await rm(json, { force: true });
    const { exitCode, all } = await execa(process.execPath, [CLI, "test", ...args], {
      ...{ cwd: ROOT, all: true, reject: false, stdin: "ignore" },
      env: {
        [SETTINGS_VARIABLE]: JSON.stringify(settings),
        MESHPROOF_SECRETS_FILE: path.join(folder, "secrets.txt"),
        PLAYWRIGHT_JSON_OUTPUT_FILE: json,
        PLAYWRIGHT_HTML_OUTPUT_DIR: path.join(folder, "html"),
        PLAYWRIGHT_HTML_OPEN: "never",
      },
    });
    const report = JSON.parse(await readFile(json, "utf8").catch(() => "{}")) as Partial<JSONReport>;
    return { exitCode, output: all, specs: (report.suites ?? []).flatMap(specsOf) };
  };
  const titles = (specs: readonly JSONReportSpec[]): string[] => specs.map(({ title }) => title);
  const resultOf = async (): Promise<RunResult> =>
    JSON.parse(await readFile(path.join(settings.results, "latest/results.json"), "utf8")) as RunResult;
  const meshproof = (...args: string[]) =>
    execa(process.execPath, ["cli/meshproof.mjs", ...args], { cwd: ROOT, all: true, reject: false });

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-playwright-"));
    settings = {
      cluster: { kind: "embedded", name: NAME, keep: true },
      scenarios: path.join(folder, "scenarios"),
      profile: "istio",
      results: path.join(folder, "results"),
      limitMs: LIMIT_MS,
      inForceLimitMs: IN_FORCE_LIMIT_MS,
      outputDir: path.join(folder, "output"),
    };
    await cp(path.join(ROOT, "scenarios"), settings.scenarios, { recursive: true });
    // Wrong on purpose: the path that needs no token is another one than the scenario says.
    const policy = path.join(settings.scenarios, FAILING, "authorization-policy.yaml");
    const text = await readFile(policy, "utf8");
    assert.match(text, /\[\/productpage\]/);
    await writeFile(policy, text.replace("[/productpage]", "[/productpages]"));
  });
  after(async () => {
    await meshproof("down", "--name", NAME);
    await rm(folder, { recursive: true });
  });

  it("--list lists, without a cluster", async () => {
    const { exitCode, specs, output } = await run("--list", "--reporter=json", ...SELECTED);
    assert.equal(exitCode, 0, output);
    assert.deepEqual(titles(specs).toSorted(), SCENARIOS);
    const { exitCode: down } = await meshproof("kubectl", "--name", NAME, "version");
    assert.notEqual(down, 0, "there is no cluster yet");
  });

  it("Playwright's own reports show the reason of a failure, its line in the scenario's file, and the attachments", async () => {
    const { exitCode, specs, output } = await run("--reporter=json,html,./reports/reporter.ts", ...SELECTED);
    assert.equal(exitCode, 1, output);
    assert.deepEqual(
      specs.map(({ title, ok }) => [title, ok]).toSorted(),
      SCENARIOS.map((id) => [id, id !== FAILING]),
    );
    const failed = specs.find(({ ok }) => !ok)!.tests[0]!.results[0]!;
    assert.equal(failed.errors.length, 1, output);
    const [message = "", ...more] = (failed.errors[0]?.message ?? "").replaceAll(/\u001b\[[\d;]*m/g, "").split("\n");
    assert.match(message, /^Error: expected 200 from the workload behind ingress, got 403 from authorization$/);
    assert.match(
      more.join("\n").replaceAll("\n  ", " "),
      /^The request is denied by authorization with 403 at the gateway istio-system\/istio-ingressgateway: rule 0 of AuthorizationPolicy istio-system\/test-exclude denies it \(path: \/productpage — rule requires: not "\/productpages"/,
    );
    const file = path.join(settings.scenarios, FAILING, "scenario.yaml");
    const lines = (await readFile(file, "utf8")).split("\n");
    assert.equal(failed.errors[0]?.location?.file, file);
    assert.match(lines[failed.errors[0].location.line - 1] ?? "", /\/productpage: +\[200, +200, +401\]/);
    assert.deepEqual(
      failed.steps?.filter(({ error }) => error !== undefined).map(({ title }) => title),
      ["the DENY rule asks for a token on every path but the excluded one"],
    );
    const names = failed.attachments.map(({ name }) => name);
    for (const name of [
      /^exchange: \/productpage none$/,
      /^policies$/,
      /^step 3: applied\.yaml$/,
      /^step 3: access-log-/,
    ])
      assert.ok(
        names.some((each) => name.test(each)),
        `${name}: ${names.join(", ")}`,
      );
    const secrets = (await readFile(path.join(folder, "secrets.txt"), "utf8")).trim().split("\n");
    for (const place of ["html", "output", "results"])
      assert.deepEqual(await findSecrets(path.join(folder, place), secrets), [], place);
  });

  it("--last-failed runs what failed alone, and --retries again; what fails and then passes is not made good", async () => {
    const { exitCode, specs, output } = await run(
      "--last-failed",
      "--retries=1",
      "--reporter=json,./reports/reporter.ts",
    );
    assert.equal(exitCode, 1, output);
    assert.deepEqual(titles(specs), [FAILING]);
    assert.equal(specs[0]?.tests[0]?.results.length, 2);
    assert.equal((await resultOf()).counts.failed, 1);
  });

  it("--max-failures leaves out what comes later, which is an error and not passed", async () => {
    const grep = ["--grep", `${FAILING} |paths/withdrawn-policy-opens-paths `];
    const { exitCode, output } = await run("-x", "-j", "1", "--reporter=./reports/reporter.ts", ...grep);
    assert.equal(exitCode, 1, output);
    const { scenarios, command } = await resultOf();
    assert.deepEqual(
      scenarios.map(({ id, status, findings }) => [id, status, findings]),
      [
        [FAILING, "failed", undefined],
        ["paths/withdrawn-policy-opens-paths", "error", [{ kind: "not-finished", because: "not-begun" }]],
      ],
    );
    assert.match(command, /^npx playwright test -x -j 1 /);
  });

  it("--repeat-each runs each as often, side by side", async () => {
    const args = ["--repeat-each=2", "--workers=2", "--grep", "authz/deny-all "];
    const { exitCode, specs, output } = await run("--reporter=json,./reports/reporter.ts", ...args);
    assert.equal(exitCode, 0, output);
    assert.equal(specs.flatMap(({ tests }) => tests).length, 2);
    assert.equal((await resultOf()).scenarios.length, 1);
  });

  it("--shard: Playwright merges its own reports, and meshproof its own, of which none may be missing", async () => {
    const blobs = path.join(folder, "blobs");
    const shards: string[] = [];
    for (const index of [1, 2]) {
      const file = path.join(blobs, `${index}.zip`);
      process.env["PLAYWRIGHT_BLOB_OUTPUT_FILE"] = file;
      const grep = ["--grep", "authz/deny-all |jwt/algorithms "];
      const { exitCode, output } = await run(`--shard=${index}/2`, ...grep, "--reporter=blob,./reports/reporter.ts");
      assert.equal(exitCode, 0, output);
      shards.push(path.join(settings.results, (await resultOf()).id));
    }
    delete process.env["PLAYWRIGHT_BLOB_OUTPUT_FILE"];
    const merged = await execa(process.execPath, [CLI, "merge-reports", "--reporter=list", blobs], { cwd: ROOT });
    assert.match(merged.stdout, /2 passed/);
    const out = path.join(folder, "merged");
    const [first = "", second = ""] = shards;
    const both = await meshproof("merge", first, second, "--out", out);
    assert.equal(both.exitCode, 0, both.all);
    const { scenarios } = JSON.parse(await readFile(path.join(out, "results.json"), "utf8")) as RunResult;
    assert.deepEqual(scenarios.map(({ id }) => id).sort(), ["authz/deny-all", "jwt/algorithms"]);
    const twice = await meshproof("merge", second, second, "--out", `${out}-twice`);
    assert.equal(twice.exitCode, 2, twice.all);
    assert.deepEqual((await readdir(folder)).includes("merged-twice"), false);
  });
});
