import assert from "node:assert/strict";
import { test } from "node:test";
import { printable, printableLine, visible } from "./visible.ts";

test("control and invisible characters become symbols", () => {
  assert.equal(visible("a\u0000b\u001b[31m\u007f"), "a␀b␛[31m␡");
  assert.equal(visible("\u202egnp.exe\u2066 \u200b\ufeff"), "⟨U+202E⟩gnp.exe⟨U+2066⟩ ⟨U+200B⟩⟨U+FEFF⟩");
  assert.equal(visible("\u2028\u2029\u0085\ud800"), "⟨U+2028⟩⟨U+2029⟩⟨U+0085⟩⟨U+D800⟩");
  assert.equal(visible("ünïcode 😀 中文"), "ünïcode 😀 中文");
});

test("line feeds and tabs stay only with the option lines", () => {
  assert.equal(visible("a\n\tb\r"), "a␊␉b␍");
  assert.equal(visible("a\n\tb\r", { lines: true }), "a\n\tb␍");
});

test("a line of a log cannot be a command of a CI system", () => {
  const text = "::stop-commands::t\n \u00a0::warning::x\na ::b\n##[error]x\nx ##vso[task.complete]\n# title\n## [link]";
  assert.equal(
    printable(text, { ci: true }),
    ": :stop-commands::t\n \u00a0: :warning::x\na ::b\n## [error]x\nx ## vso[task.complete]\n# title\n## [link]",
  );
  assert.equal(printable(printable(text, { ci: true }), { ci: true }), printable(text, { ci: true }));
  assert.equal(printable(text), text);
});

test("colours stay only with the option colours", () => {
  assert.equal(
    printable("\u001b[31mred\u001b[0m\u001b]52;c;eA==\u0007", { colours: true }),
    "\u001b[31mred\u001b[0m␛]52;c;eA==␇",
  );
  assert.equal(printable("\u001b[31mred"), "␛[31mred");
  assert.equal(printableLine("a\nb\r::c"), "a␊b␍::c");
});
