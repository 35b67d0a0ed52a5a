import assert from "node:assert/strict";
import { test } from "node:test";
import { formatAnnotations } from "./annotations.ts";
import { allPassed, hostile } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";

test("an error line per failure, with file, line and title; none if all passed", () => {
  const lines = formatAnnotations(redRun());
  assert.ok(lines.length > 0 && lines.length <= 10);
  for (const line of lines) assert.match(line, /^::error file=[^,:]+,line=\d+,title=[^,:]+::./);
  assert.deepEqual(formatAnnotations(allPassed()), []);
});

test("hostile text stays on its line and cannot start another command", () => {
  for (const line of formatAnnotations(hostile())) {
    assert.doesNotMatch(line, /[\u0000-\u001f\u007f-\u009f\u202e]/);
    assert.match(line, /^::error file=/);
  }
});
