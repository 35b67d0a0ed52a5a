import assert from "node:assert/strict";
import { test } from "node:test";
import { html, lines, raw } from "./escape.ts";

test("values are escaped, meshproof's own markup is not", () => {
  assert.equal(html`<b title="${`"'<>&`}">${"<i>"}</b>`.markup, `<b title="&quot;&#39;&lt;&gt;&amp;">&lt;i&gt;</b>`);
  assert.equal(html`<p>${html`<b>${1}</b>`}${raw("<hr>")}</p>`.markup, "<p><b>1</b><hr></p>");
});

test("lists are joined, undefined and false are nothing", () => {
  assert.equal(html`${["a", html`<i>b</i>`, undefined, false, "<"]}${undefined}`.markup, "a<i>b</i>&lt;");
});

test("indentation is removed from templates, never from values", () => {
  const template = Object.assign(["<p>\n    ", "\n  </p>"], { raw: [] });
  assert.equal(html(template, "a\n    b").markup, "<p>\na␊    b\n</p>");
  assert.equal(lines("a\n    b\r\nc\u0000").markup, "a\n    b\nc␀");
});
