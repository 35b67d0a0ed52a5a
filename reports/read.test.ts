import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { compareRuns } from "../harness/compare/compare.ts";
import { readResults } from "./read.ts";

/** Of a run by the version before findings: every status, notes of objects, explanations. */
const VERSION_1 = path.join(import.meta.dirname, "fixtures/results.v1.json");

test("a file of schema version 1 is read, and its sentences are findings that hold a text", async () => {
  const result = await readResults(VERSION_1);
  assert.equal(result.schemaVersion, 2);
  const objects = result.scenarios.flatMap(({ steps }) => steps.flatMap((step) => step.objects));
  const findings = objects.flatMap((object) => object.findings ?? []);
  assert.ok(findings.length > 0 && findings.every(({ kind }) => kind === "recorded"));
  assert.ok(objects.every((object) => !("note" in object)));
});

test("it can be compared with a newer run", async () => {
  const old = await readResults(VERSION_1);
  const { changes, same } = compareRuns(old, await readResults(VERSION_1), []);
  assert.deepEqual(changes, []);
  assert.ok(same > 0);
});

test("it is refused where files are merged", async () =>
  assert.rejects(readResults(VERSION_1, { old: false }), /has schemaVersion 1, expected 2/));
