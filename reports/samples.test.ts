import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { sampleFiles } from "./samples.ts";

const read = (file: string) => readFile(new URL(`../${file}`, import.meta.url), "utf8");

for (const [file, text] of sampleFiles()) {
  test(`${file} is what the reports write today`, async () => {
    assert.equal(await read(file), text);
  });
}

for (const page of ["docs/reading-a-failure.md", "README.md"])
  test(`${page} quotes the terminal as it is`, async () => {
    const terminal = sampleFiles().get("docs/samples/terminal.txt") ?? "";
    const quotes = [...(await read(page)).matchAll(/^```text\n([\s\S]*?)^```$/gm)].map(([, text]) => text ?? "");
    assert.ok(quotes.length > 0);
    for (const quote of quotes) assert.ok(terminal.includes(quote.trimEnd()), quote);
  });
