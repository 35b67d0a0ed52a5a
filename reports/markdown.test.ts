import assert from "node:assert/strict";
import { test } from "node:test";
import { allPassed, check, answer, hostile, run, scenario, step } from "../test/recorded/change.ts";
import { redRun } from "../test/recorded/results.ts";
import { formatMarkdown } from "./markdown.ts";

test("failures first, then every scenario with its reason", () => {
  const text = formatMarkdown(redRun());
  assert.match(text, /^## meshproof: 8 checks did not behave as documented\n\n\*\*120\*\* passed · \*\*5\*\* failed/);
  assert.ok(text.indexOf("### What differs") < text.indexOf("| scenario |"));
  assert.match(text, /\| ❌ failed \| paths\/skip-jwt-for-paths \|.*\| 25\/27 \|/);
  assert.match(text, /\| ⏭️ skipped \| authn\/http-versions \|.*\| – \|.*1\.40, and this mesh is 1\.31/);
});

test("a run that passes has only that verdict", () => {
  const text = formatMarkdown(allPassed());
  assert.match(text, /^## meshproof: the mesh behaves as documented\n/);
  assert.ok(!text.includes("What differs"));
});

test("hostile text cannot leave its fence, its cell or its line", () => {
  const text = formatMarkdown(hostile());
  const [, fence] = /\n(`{4,})text\n/.exec(text) ?? [];
  assert.equal(fence, "````");
  const outside = text.replace(/^(`{3,})text\n[\s\S]*?\n\1$/gm, "");
  assert.doesNotMatch(outside, /(?<!\\)<(script|img|b|\/)/);
  assert.doesNotMatch(outside, /(?<!\\)\[click/);
  assert.ok(!text.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
});

test("ten thousand failures fit into a step summary", () => {
  const failing = Array.from({ length: 500 }, (_, n) =>
    check(`check ${n}`, { status: "failed", got: answer(401), reason: "r".repeat(900) }),
  );
  const scenarios = Array.from({ length: 20 }, (_, n) =>
    scenario(`jwt/s${n}`, { steps: [step("s", { checks: failing })] }),
  );
  const text = formatMarkdown(run(scenarios));
  assert.ok(text.length < 500_000);
  assert.match(text, /\d+ more failures in the report\./);
});
