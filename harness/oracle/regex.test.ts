import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { compileRegex, templateRegex } from "./regex.ts";

function matches(source: string, text: string): boolean {
  const regex = compileRegex(source);
  assert.ok(!("unknown" in regex), source);
  return regex.matches(text);
}

describe("compileRegex", () => {
  it("matches the whole text, as Envoy does", () => {
    assert.ok(matches("a|ab", "ab"));
    assert.ok(!matches("a", "ab"));
    assert.ok(!matches("a.c", "a\nc"));
    assert.ok(matches("(?i)ABC", "abc"));
    assert.ok(matches("(?P<name>a+)", "aa"));
  });

  // A backtracking engine needs 2^30 steps for the first, and far more for the second.
  it("returns a result for patterns on which backtracking would not end", () => {
    assert.ok(!matches("/(a+)+", `/${"a".repeat(30)}!`));
    assert.ok(!matches("/(a+)+", `/${"a".repeat(20_000)}!`));
    assert.ok(!matches("(a|aa)*b", "a".repeat(20_000)));
  });

  it("reports patterns that it cannot compile", () => {
    for (const source of ["(?=a)b", "(?<=a)b", String.raw`(a)\1`, "[", "a{1001}"]) {
      const regex = compileRegex(source);
      assert.ok("unknown" in regex && regex.unknown.kind === "regex", source);
    }
  });

  it("matches no byte that is not part of UTF-8", () => {
    for (const source of [".+", "[^b]*", "(?s).*"]) {
      assert.ok(matches(source, "aÿ😀"), source);
      assert.ok(!matches(source, "a\udcff"), source);
    }
  });
});

describe("templateRegex", () => {
  const fits = (template: string, path: string): boolean => matches(templateRegex(template) ?? "", path);
  for (const [template, path, expected] of [
    ["/a/*/open/**", "/a/b/open/c/d", true],
    ["/a/*/open/**", "/a/b/open/", true],
    ["/a/*/open/**", "/a/b/open", false],
    ["/a/*/open/**", "/a/b/c/open/d", false],
    ["/a/*", "/a/", false],
    ["/a/**.txt", "/a/b/c.txt", true],
    ["/a/**.txt", "/a/b/cxtxt", false],
    ["/a+b", "/a+b", true],
    ["/a/*", "/a/b=c*d", true],
    ["/a*b", "/a*b", false],
    ["/a*b", "/aab", true],
    ["/a*b", "/axb", false],
  ] as const)
    it(`${template} ${expected ? "takes" : "does not take"} ${path}`, () =>
      assert.equal(fits(template, path), expected));

  it("several ** do not take longer than one", () => {
    assert.ok(!fits("/**/**/**/**/**/**/x", `/${"a/".repeat(90)}y`));
    assert.ok(fits("/**/**/**/**/**/**/x", `/${"a/".repeat(2000)}x`));
  });

  it("leaves variables to others", () => assert.equal(templateRegex("/a/{id}"), undefined));
});
