import assert from "node:assert/strict";
import { test } from "node:test";
import type { RunResult } from "../harness/model/result.ts";
import { attacks, hostile } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { formatJson } from "./json.ts";

test("a result without hostile text is read back unchanged, with texts for people", () => {
  const withoutTexts = (text: string): unknown =>
    JSON.parse(text, (name, value: unknown) => (name === "text" ? undefined : value));
  assert.deepEqual(withoutTexts(formatJson(redRun())), withoutTexts(JSON.stringify(redRun())));
});

test("the file has no control characters, and the data is the same", () => {
  const json = formatJson(hostile());
  assert.doesNotMatch(json, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  const first = (JSON.parse(json) as RunResult).scenarios[0]?.steps[0]?.checks[0];
  assert.ok(first?.got.body.includes(attacks.control.slice(0, -1)));
});

test("the file has no signature of a token and no body above its limit", () => {
  const json = formatJson(hostile());
  assert.ok(!json.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
  assert.ok(json.includes("… (cut: 2 KiB of 10 MiB)"));
  assert.ok(json.length < 100_000);
});
