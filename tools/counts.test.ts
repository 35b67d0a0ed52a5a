import assert from "node:assert/strict";
import { it } from "node:test";
import { add, formatCounts, judge, readCounts } from "./counts.ts";

it("reads node's spec and TAP reporters, coloured or not", () => {
  const spec =
    "✔ a (0.1ms)\nℹ tests 5\nℹ suites 1\nℹ pass 3\nℹ fail 1\nℹ cancelled 1\nℹ skipped 0\nℹ todo 0\nℹ duration_ms 45\n";
  assert.deepEqual(readCounts(spec), { passed: 3, failed: 2, skipped: 0 });
  assert.deepEqual(readCounts("\u001b[34mℹ pass 2\u001b[39m\n\u001b[34mℹ fail 0\u001b[39m\n"), {
    passed: 2,
    failed: 0,
    skipped: 0,
  });
  assert.deepEqual(readCounts("# tests 2\n# pass 1\n# fail 0\n# skipped 1\n"), { passed: 1, failed: 0, skipped: 1 });
});

it("reads Playwright's closing lines", () => {
  const output =
    "  1 failed\n    [chromium] › a.spec.ts:3:1 › title ───\n  1 flaky\n  2 did not run\n  4 passed (3.2s)\n";
  assert.deepEqual(readCounts(output), { passed: 4, failed: 4, skipped: 0 });
});

it("takes the last summary of meshproof", () => {
  assert.deepEqual(readCounts("1 passed, 0 failed\n…\n20 passed, 1 failed, 2 skipped\n"), {
    passed: 20,
    failed: 1,
    skipped: 2,
  });
});

it("counts a tool that says nothing as one test", () => {
  assert.equal(readCounts("All matched files use Prettier code style!"), undefined);
  assert.deepEqual(judge("", true), { passed: 1, failed: 0, skipped: 0 });
  assert.deepEqual(judge("src/a.ts: error", false), { passed: 0, failed: 1, skipped: 0 });
});

it("never takes a failing tool for a passing one", () => {
  assert.deepEqual(judge("ℹ pass 3\nℹ fail 0\n", false), { passed: 3, failed: 1, skipped: 0 });
});

it("sums and says it in one line", () => {
  const total = add({ passed: 1, failed: 0, skipped: 0 }, { passed: 2, failed: 1, skipped: 0 });
  assert.equal(formatCounts(total), "3 passed, 1 failed");
  assert.equal(formatCounts({ ...total, skipped: 2 }), "3 passed, 1 failed, 2 skipped");
});
