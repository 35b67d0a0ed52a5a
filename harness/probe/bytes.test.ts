import assert from "node:assert/strict";
import { test } from "node:test";
import { escapeNotation, fillBytes, hasBytes, showBytes, toBytes } from "./bytes.ts";

test("bytes that are UTF-8 become text, and each other one a lone surrogate", () => {
  assert.equal(fillBytes(String.raw`a\x41\xc3\xbfb`), "aAÿb");
  assert.equal(fillBytes(String.raw`\xff\xc3`), "\udcff\udcc3");
  assert.equal(fillBytes(String.raw`\xc3\xc3\xbf`), "\udcc3ÿ");
  assert.equal(fillBytes(String.raw`\xf0\x9f\x98\x80`), "😀");
  assert.equal(fillBytes(String.raw`\xed\xb3\xbf`), "\udced\udcb3\udcbf");
});

test("text comes back as the same bytes, whatever they are", () => {
  const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  const written = [...all].map((byte) => `\\x${byte.toString(16).padStart(2, "0")}`).join("");
  assert.deepEqual(toBytes(fillBytes(written)), all);
  assert.deepEqual(toBytes("a😀ÿ"), Buffer.from("a😀ÿ"));
});

test("text that only looks like the notation can be written", () => {
  const text = String.raw`\x41 \\xff \x4`;
  assert.ok(hasBytes(text));
  assert.equal(fillBytes(escapeNotation(text)), text);
  assert.equal(escapeNotation("plain"), "plain");
});

test("bytes are shown as they are written, and other text as it is", () => {
  assert.equal(showBytes(fillBytes(String.raw`a\xff\xc3\xbf`)), String.raw`a\xffÿ`);
  assert.equal(showBytes("😀"), "😀");
});
