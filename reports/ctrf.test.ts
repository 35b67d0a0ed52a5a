import assert from "node:assert/strict";
import { test } from "node:test";
import { validateStrict } from "ctrf";
import { formatCtrf } from "./ctrf.ts";
import { allPassed, hostile } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";

interface Ctrf {
  reportFormat: string;
  specVersion: string;
  results: {
    tool: { name: string };
    summary: Record<string, number>;
    tests: {
      name: string;
      status: string;
      rawStatus: string;
      flaky?: boolean;
      message?: string;
      duration: number;
      line: number;
    }[];
  };
}
const read = (text: string) => JSON.parse(text) as Ctrf;

test("one test per check, and the statuses add up to the summary", () => {
  const { counts } = redRun();
  const { reportFormat, specVersion, results } = read(formatCtrf(redRun()));
  assert.deepEqual([reportFormat, specVersion, results.tool.name], ["CTRF", "1.0.0", "meshproof"]);
  const { summary, tests } = results;
  assert.equal(summary.tests, tests.length);
  assert.equal(summary.passed, counts.passed);
  assert.equal(summary.failed, counts.failed + counts.flaky);
  assert.equal(summary.skipped, counts.skipped + counts["known-failure"]);
  assert.equal(summary.other, counts.error);
  const parts = ["passed", "failed", "skipped", "other", "pending"].map((part) => summary[part] ?? Number.NaN);
  assert.equal(
    summary.tests,
    parts.reduce((sum, n) => sum + n, 0),
  );
  assert.ok((summary.stop ?? 0) >= (summary.start ?? Infinity));
});

test("a test that has not passed has a reason; a flaky check has not passed", () => {
  const { tests } = read(formatCtrf(redRun())).results;
  for (const each of tests) if (each.status !== "passed") assert.ok(each.message, each.name);
  const flaky = tests.filter(({ rawStatus }) => rawStatus === "flaky");
  assert.ok(flaky.length > 0);
  for (const each of flaky) assert.deepEqual([each.status, each.flaky], ["failed", true]);
  assert.equal(read(formatCtrf(allPassed())).results.summary.failed, 0);
});

test("the format's own implementation accepts it, and rejects other data", () => {
  for (const result of [allPassed(), redRun(), hostile()]) {
    const report: unknown = JSON.parse(formatCtrf(result));
    validateStrict(report);
  }
  const broken = read(formatCtrf(allPassed()));
  broken.results.tests[0]!.status = "fine";
  assert.throws(() => validateStrict(broken));
});

test("hostile text is text", () => {
  const text = formatCtrf(hostile());
  assert.doesNotMatch(text, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202e]/);
  assert.ok(read(text).results.tests.length > 0);
});
