import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Envoy } from "./envoy.ts";
import { normalizePath } from "./path.ts";

/** Envoys with every fix, and with none, and one whose version is not known. */
const FIXED: Envoy = { has: () => true };
const UNFIXED: Envoy = { has: () => false };
const UNKNOWN: Envoy = { has: () => undefined };

const base = { normalize_path: true };
const merging = { ...base, merge_slashes: true };
const action = (path_with_escaped_slashes_action: string): object => ({ ...base, path_with_escaped_slashes_action });

/** Envoy 1.40.0's results; a number is the status of its own answer. */
const TABLE: readonly (readonly [manager: object, raw: string, expected: string | number])[] = [
  [base, "/a/./b/../c?x=/../", "/a/c?x=/../"],
  [base, "/a/..;x=y/b;z/.;", "/b;z/"],
  [base, "/a/%2e%2e;x/b", "/a/..;x/b"],
  [base, "/%2e;z", "/.;z"],
  [base, "/b\\..;x", "/b/..;x"],
  [base, "/b/..;x.%2e", "/"],
  [base, "/a/.%2E/b", "/b"],
  [base, "/a//b", "/a//b"],
  [merging, "/a//b", "/a/b"],
  [merging, "/\\", "//"],
  [merging, "///", "//"],
  [base, "/a%2Fb", "/a%2Fb"],
  [action("UNESCAPE_AND_FORWARD"), "/a%2Fb", "/a/b"],
  [action("UNESCAPE_AND_REDIRECT"), "/a%2Fb", 307],
  [action("REJECT_REQUEST"), "/a%2Fb", 400],
  [base, "/a\\b", "/a/b"],
  [base, "/%61dmin", "/admin"],
  [base, '/a"<>^`{|}b[]', "/a%22%3C%3E%5E%60%7B%7C%7Db[]"],
  [base, "/%zz%2", "/%zz%2"],
  [base, "/admin%00", 400],
  [base, "/a/.%00./b", 400],
  [base, "/a?x=%00", "/a?x=%00"],
  [{}, "/admin%00", "/admin%00"],
  [{}, "/a/../b", "/a/../b"],
];

describe("normalizePath", () => {
  for (const [manager, raw, expected] of TABLE)
    it(`${raw} with ${JSON.stringify(manager)} is ${expected}`, () => {
      const found = normalizePath(raw, manager, undefined, FIXED);
      assert.deepEqual(
        found,
        typeof expected === "number" ? { status: expected, details: "path_normalization_failed" } : { path: expected },
      );
    });

  it("the bootstrap's runtime flag decides whether a fragment is removed or refused, and without it nothing is guessed", () => {
    assert.deepEqual(normalizePath("/app#foo", base, false, FIXED), { path: "/app" });
    assert.deepEqual(normalizePath("/a?x#/../y", base, false, FIXED), { path: "/a?x" });
    assert.deepEqual(normalizePath("/app#foo", base, true, FIXED), {
      status: 400,
      details: "path_normalization_failed",
    });
    assert.match(JSON.stringify(normalizePath("/app#foo", base, undefined, FIXED)), /"runtime-flag"/);
  });

  it("removes a dot segment with parameters only in an Envoy that has the fix, and does not guess whether it has", () => {
    const paths: readonly (readonly [raw: string, fixed: string, unfixed: string])[] = [
      ["/a/..;x=y/b", "/b", "/a/..;x=y/b"],
      ["/a/.;", "/a/", "/a/.;"],
      ["/a/../b", "/b", "/b"],
      ["/a;x/b", "/a;x/b", "/a;x/b"],
      ["/a/x;y/../b", "/a/b", "/a/b"],
    ];
    for (const [raw, fixed, unfixed] of paths) {
      assert.deepEqual(normalizePath(raw, base, false, FIXED), { path: fixed });
      assert.deepEqual(normalizePath(raw, base, false, UNFIXED), { path: unfixed });
      const missing = { kind: "envoy-fix", fix: "CVE-2026-73551" };
      assert.deepEqual(
        normalizePath(raw, base, false, UNKNOWN),
        fixed === unfixed ? { path: fixed } : { unknown: missing },
      );
    }
  });

  it("does not guess about bytes that HTTP/1 and HTTP/2 treat differently", () => {
    for (const raw of ["/a b", "/a\u00e9", "/a\u0001", "*", "a/b"])
      assert.ok("unknown" in normalizePath(raw, base, false, FIXED), raw);
  });
});
