/** Reads the results of a whole run as other programs would: with the published schemas, with common parsers, and in search of secrets. */

import { itemsOf } from "../harness/model/items.ts";
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import path from "node:path";
import { test } from "node:test";
import { validateStrict, type CTRFReport } from "ctrf";
import { XMLParser, XMLValidator } from "fast-xml-parser";
import { parse } from "yaml";
import type { RunResult } from "../harness/model/result.ts";
import { readResults } from "../reports/index.ts";
import { PROJECT } from "../cli/context.ts";
import { findSecrets } from "../cli/find-secrets.ts";

const FOLDER = path.join(PROJECT, "results/latest");
const SECRETS = process.env["MESHPROOF_SECRETS_FILE"];

const read = (name: string): Promise<string> => readFile(path.join(FOLDER, name), "utf8");
let result: RunResult;

test("results.json fits its schema, and every check was judged", async () => {
  result = await readResults(FOLDER);
  const { counts, scenarios } = result;
  const checks = scenarios.flatMap(({ steps }) => steps.flatMap(itemsOf));
  assert.ok(checks.length > 0);
  const byStatus = checks.filter(({ status }) => status === "passed").length;
  assert.equal(counts.passed, byStatus);
});

test("junit.xml is read by a stock parser, with as many cases as there are", async () => {
  const xml = await read("junit.xml");
  assert.equal(XMLValidator.validate(xml), true);
  const isArray = (name: string): boolean => name === "testcase" || name === "testsuite";
  const parser = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: "@", isArray });
  type Suites = Record<"@tests" | "@failures" | "@errors" | "@skipped", string> & {
    testsuite: { testcase: unknown[] }[];
  };
  const { testsuites } = parser.parse(xml) as { testsuites: Suites };
  const { failed, flaky, error, skipped, passed } = result.counts;
  const known = result.counts["known-failure"];
  assert.equal(testsuites.testsuite.length, result.scenarios.length);
  assert.equal(
    testsuites.testsuite.reduce((sum, { testcase }) => sum + testcase.length, 0),
    passed + failed + flaky + error + skipped + known,
  );
  assert.equal(Number(testsuites["@failures"]), failed + flaky);
  assert.equal(Number(testsuites["@errors"]), error);
});

test("ctrf.json is what the Common Test Report Format's own implementation takes", async () => {
  const report = JSON.parse(await read("ctrf.json")) as CTRFReport;
  validateStrict(report);
  assert.equal(report.results.summary.passed, result.counts.passed);
});

test("conformance.yaml names every scenario once", async () => {
  type Section = Partial<
    Record<"passedTests", string[]> & Record<"failedTests" | "skippedTests" | "knownFailures", { name: string }[]>
  >;
  const { profiles } = parse(await read("conformance.yaml")) as { profiles: Record<string, Section>[] };
  const sections = profiles.flatMap(({ core, extended, provisional }) => [core, extended, provisional]);
  const named = sections.flatMap((section) => [
    ...(section?.passedTests ?? []),
    ...[section?.failedTests, section?.skippedTests, section?.knownFailures].flatMap(
      (tests) => tests?.map(({ name }) => name) ?? [],
    ),
  ]);
  assert.deepEqual(named.sort(), result.scenarios.map(({ id }) => id).sort());
});

test("no file holds a signature or a private key of the run", async () => {
  assert.ok(SECRETS !== undefined, "MESHPROOF_SECRETS_FILE is not set");
  const secrets = (await readFile(SECRETS, "utf8")).trim().split("\n");
  assert.ok(secrets.length > result.scenarios.length);
  assert.deepEqual(await findSecrets(FOLDER, secrets), []);
});
