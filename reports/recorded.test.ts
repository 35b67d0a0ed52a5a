/** Compares every report of real results with the recorded one, so that each change of a report is reviewed. */

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { readRendered, renderedFiles } from "../test/recorded/rendered.ts";

const PROJECT = path.join(import.meta.dirname, "..");
const HOW = "npm run update writes the reports of the recorded results anew; npm run record makes new results";
const rendered = renderedFiles();

for (const [file, text] of rendered)
  test(`${file} is what the reports write`, () => {
    const before = readRendered(path.join(PROJECT, file));
    assert.ok(before === text, `${file} differs:\n${firstDifference(before ?? "", text)}\n${HOW}`);
  });

const SAMPLE = "docs/samples/terminal.txt";
for (const [page, sample] of [
  ["docs/reading-a-failure.md", SAMPLE],
  ["README.md", SAMPLE],
  ["docs/tickets.md", "test/recorded/rendered/ticket-health-check/terminal.txt"],
] as const)
  test(`${page} quotes the terminal as it is`, () => {
    const terminal = rendered.get(sample) ?? "";
    const quotes = readFileSync(path.join(PROJECT, page), "utf8").matchAll(/^```text\n([\s\S]*?)^```$/gm);
    const texts = [...quotes].map(([, text]) => text ?? "");
    assert.ok(texts.length > 0);
    for (const text of texts) assert.ok(terminal.includes(text.trimEnd()), `not in ${sample}:\n${text}`);
  });

/** The first lines that differ, with one line of context before them. */
function firstDifference(before: string, after: string): string {
  const [old, fresh] = [before.split("\n"), after.split("\n")];
  const first = fresh.findIndex((line, index) => line !== old[index]);
  const at = first === -1 ? fresh.length : first;
  const show = (sign: string, lines: readonly string[]): string[] =>
    lines.slice(at, at + 3).map((line) => `${sign} ${line.slice(0, 200)}`);
  return [`line ${at + 1}`, `  ${(fresh[at - 1] ?? "").slice(0, 200)}`, ...show("-", old), ...show("+", fresh)].join(
    "\n",
  );
}
