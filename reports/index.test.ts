import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { allPassed, answer, check, run, scenario, step } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { writeReports } from "./index.ts";
import { formatSummary } from "./terminal.ts";

test("every report is written completely into a folder that may not exist yet, and replaces an older one", async (t) => {
  const root = await mkdtemp(join(tmpdir(), "meshproof-reports-"));
  t.after(() => rm(root, { recursive: true }));
  const dir = join(root, "results", "run-1");
  await writeReports(redRun(), dir);
  const paths = await writeReports(allPassed(), dir);
  assert.deepEqual(paths, {
    html: join(dir, "report.html"),
    json: join(dir, "results.json"),
    junit: join(dir, "junit.xml"),
    conformance: join(dir, "conformance.yaml"),
    markdown: join(dir, "summary.md"),
    ctrf: join(dir, "ctrf.json"),
  });
  assert.deepEqual((await readdir(dir)).sort(), [
    "conformance.yaml",
    "ctrf.json",
    "junit.xml",
    "report.html",
    "results.json",
    "summary.md",
  ]);
  for (const path of Object.values(paths)) assert.ok(!(await readFile(path, "utf8")).includes("keys.example"));
});

test("every report for people tells the waypoint on the way of a request", async (t) => {
  const dir = await mkdtemp(join(tmpdir(), "meshproof-reports-"));
  t.after(() => rm(dir, { recursive: true }));
  const request = { ...check("").request, to: "httpbin", through: "waypoint/shop" };
  const failed = check("headers", { request, status: "failed", got: answer(403) });
  const found = run([scenario("waypoint/shop", { steps: [step("a valid token passes", { checks: [failed] })] })]);
  const { conformance: _, json: _json, ...paths } = await writeReports(found, dir);
  const texts = Object.entries(paths).map(async ([name, path]) => [name, await readFile(path, "utf8")] as const);
  for (const [name, text] of [...(await Promise.all(texts)), ["terminal", formatSummary(found)] as const])
    assert.match(text, /from sleep to httpbin through waypoint\/shop/, name);
});
