import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { readScenarios, SCENARIOS } from "../cli/context.ts";
import { KNOWN_CHANGES } from "../cli/verbs/diff.ts";
import { readKnownChanges } from "../harness/compare/known.ts";
import { formatMatrixJson } from "../reports/matrix/text.ts";
import { PUBLISHED, publishedMatrix } from "./published-matrix.ts";

describe("the matrix in docs", () => {
  const matrix = publishedMatrix();

  it("has scenarios that exist", async () => {
    const ids = new Set((await readScenarios(SCENARIOS, [], [])).map(({ id }) => id));
    assert.ok(matrix.rows.length > 200);
    for (const { scenario } of matrix.rows) assert.ok(ids.has(scenario), scenario);
  });

  it("calls nothing known that the list does not have", async () => {
    const known = new Map((await readKnownChanges(KNOWN_CHANGES)).map(({ id, ...entry }) => [id, entry]));
    assert.ok(matrix.known.length > 0);
    for (const { id, sentence, source } of matrix.known) {
      assert.equal(sentence, known.get(id)?.sentence, id);
      assert.equal(source, known.get(id)?.source, id);
    }
  });

  it("is as it was written, without a folder of the machine", () => {
    const text = readFileSync(PUBLISHED, "utf8");
    assert.equal(text, formatMatrixJson(matrix));
    assert.doesNotMatch(text, /"\/(tmp|home|root|work)\b/);
  });
});
