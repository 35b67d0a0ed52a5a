import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { readResults } from "./read.ts";

/** A result of the version before findings: every status, notes of objects, explanations. */
const VERSION_1 = path.join(import.meta.dirname, "fixtures/results.v1.json");

test("a file of schema version 1 is read, and its sentences become findings with a text", async () => {
  const result = await readResults(VERSION_1);
  assert.equal(result.schemaVersion, 2);
  const objects = result.scenarios.flatMap(({ steps }) => steps.flatMap((step) => step.objects));
  const findings = objects.flatMap((object) => object.findings ?? []);
  assert.ok(findings.length > 0 && findings.every(({ kind }) => kind === "recorded"));
  assert.ok(objects.every((object) => !("note" in object)));
});

test("answers from before noAnswer are read: what was closed, however, is closed", async () => {
  const { scenarios } = await readResults(path.join(import.meta.dirname, "fixtures/results.v2-closed.json"));
  const checks = scenarios.flatMap(({ steps }) => steps.flatMap((step) => step.checks));
  assert.deepEqual(
    checks.flatMap(({ name, got }) => (got.noAnswer === undefined ? [] : [[name, got.noAnswer]])),
    [
      ["outside: /headers none", "closed"],
      ["outside: POST /post none", "closed"],
    ],
  );
});

test("a file of version 1 is refused for merging", async () =>
  assert.rejects(readResults(VERSION_1, { old: false }), /has schemaVersion 1, expected 2/));
