import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, it } from "node:test";
import { exitCode, formatSummary } from "../reports/index.ts";
import { formatConformance } from "../reports/conformance.ts";
import { formatHtml } from "../reports/html/document.ts";
import { formatJunit } from "../reports/junit.ts";
import { formatMarkdown } from "../reports/markdown.ts";
import { excuseRun } from "../harness/known-failures.ts";
import type { RunResult } from "../harness/model/result.ts";
import { knownFailuresOf } from "../harness/run/loaded.ts";
import { run, redScenario } from "../test/recorded/change.ts";
import { meshproof } from "./meshproof.fixture.ts";

const folder = mkdtempSync(path.join(tmpdir(), "meshproof-test-"));
after(() => rmSync(folder, { recursive: true }));

function write(content: string): string {
  const file = path.join(folder, "known.yaml");
  writeFileSync(file, content);
  return file;
}

it("every report of a run shows a known failure, which does not change the exit code", async () => {
  const failed = run([redScenario("paths/skip-jwt-for-paths")]);
  assert.equal(exitCode(failed), 1);
  const known = (got: string): string =>
    `knownFailures:
  - { scenario: ${redScenario("paths/skip-jwt-for-paths").id}, owner: "<b>team]]>", reason: "a & b", expires: 9999-12-31${got} }
`;
  const excuse = async (content: string): Promise<RunResult> =>
    excuseRun(failed, await knownFailuresOf({ knownFailures: write(content) }, []), "2026-11-28");
  assert.equal(exitCode(await excuse(known(""))), 1, "what is admitted and must be refused is not excused by the way");
  const result = await excuse(`${known(", got: { status: 200, by: workload }")}\
  - { scenario: gone/for-ever, owner: nobody, reason: "<img src=x>", expires: 9999-12-31 }
`);
  assert.equal(exitCode(result), 0);
  assert.equal(result.counts.failed, 0);
  assert.match(
    formatSummary(result),
    /Known failures \(\d+\)[\s\S]*known until 9999-12-31[\s\S]*note: .*matches nothing in this run/,
  );
  assert.match(formatJunit(result), /skipped message="known failure: known until 9999-12-31, &lt;b&gt;team\]\]&gt;/);
  assert.match(formatMarkdown(result), /> known failure of nobody[\s\S]*📌 known failure/);
  assert.match(formatConformance(result), /notes:\n {2}- .*matches nothing/);
  const page = formatHtml(result);
  assert.match(page, /class="note">known failure of nobody/);
  assert.ok(!page.includes("<b>team"));
});

it("run refuses a file that is missing or wrong before anything starts", async () => {
  const run = (file: string) => meshproof(["run", "--known-failures", file]);
  const missing = await run(path.join(folder, "nowhere.yaml"));
  assert.equal(missing.exitCode, 2);
  assert.match(missing.stderr, /^error: the known failures cannot be read: \S+nowhere\.yaml does not exist/);
  const wrong = await run(write("knownFailures:\n  - { scenario: a/b }\n"));
  assert.equal(wrong.exitCode, 2);
  assert.match(wrong.stderr, /known\.yaml:2:5 .* has no "owner"/);
});
