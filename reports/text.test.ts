import assert from "node:assert/strict";
import { test } from "node:test";
import { cut, formatBytes, formatDuration } from "./text.ts";

test("a cut never splits a character and notes the full size", () => {
  assert.equal(cut("short", 5), "short");
  assert.equal(cut("é".repeat(10), 5), "éé… (cut: 5 B of 20 B)");
  assert.equal(cut("😀😀", 6), "😀… (cut: 6 B of 8 B)");
  assert.ok(cut("A".repeat(10 * 1024 * 1024), 2048).endsWith("A… (cut: 2 KiB of 10 MiB)"));
});

test("sizes and durations have readable units", () => {
  assert.deepEqual([0, 1023, 1024, 1536, 5 * 1024 * 1024].map(formatBytes), [
    "0 B",
    "1023 B",
    "1 KiB",
    "1.5 KiB",
    "5 MiB",
  ]);
  assert.deepEqual([12, 147, 994, 996, 59_940, 59_990, 125_400].map(formatDuration), [
    "12 ms",
    "0.15 s",
    "0.99 s",
    "1.0 s",
    "59.9 s",
    "1 min 0 s",
    "2 min 5 s",
  ]);
});
