import assert from "node:assert/strict";
import { test } from "node:test";
import { formatLine, type LogLine, parseLine, parseLogQuery, renderLine, selectLines } from "./log-lines.ts";

const NOW = new Date("2026-01-01T00:01:00Z");
const queryOf = (text: string): ReturnType<typeof parseLogQuery> => parseLogQuery(new URLSearchParams(text), NOW);
const line = (second: number, text: string, more: Partial<LogLine> = {}): LogLine => ({
  time: `2026-01-01T00:00:${String(second).padStart(2, "0")}.000000500Z`,
  stream: "stdout",
  partial: false,
  text: Buffer.from(text),
  ...more,
});
const LINES = [
  line(1, "one"),
  line(2, "two", { stream: "stderr" }),
  line(3, "thr", { partial: true }),
  line(3, "ee"),
  line(30, ""),
  line(40, "five"),
];
const textOf = (query: string): string => {
  const parsed = queryOf(query);
  return Buffer.concat(selectLines(LINES, parsed).map((one) => renderLine(one, parsed))).toString();
};

test("a line keeps its bytes in CRI log form", () => {
  for (const original of [...LINES, line(5, "a b  c F P"), line(5, "\xff", { text: Buffer.from([255, 0, 32]) })]) {
    const written = formatLine(original);
    assert.deepEqual(parseLine(written.subarray(0, -1)), original);
  }
  assert.equal(formatLine(line(1, "one")).toString(), "2026-01-01T00:00:01.000000500Z stdout F one\n");
});

test("selects by age, stream and number of whole lines", () => {
  assert.equal(textOf(""), "one\ntwo\nthree\n\nfive\n");
  assert.equal(textOf("tailLines=3"), "three\n\nfive\n");
  assert.equal(textOf("tailLines=0"), "");
  assert.equal(textOf("tailLines=100"), textOf(""));
  assert.equal(textOf("sinceSeconds=30"), "\nfive\n");
  assert.equal(textOf("sinceTime=2026-01-01T00:00:40Z"), "five\n");
  assert.equal(textOf("stream=Stderr"), "two\n");
  assert.equal(textOf("tailLines=1&timestamps=true"), "2026-01-01T00:00:40.000000500Z five\n");
});

test("refuses numbers and times that are none", () => {
  assert.throws(() => queryOf("tailLines=-1"), /tailLines/);
  assert.throws(() => queryOf("limitBytes=x"), /limitBytes/);
  assert.throws(() => queryOf("sinceTime=yesterday"), /sinceTime/);
});
