import assert from "node:assert/strict";
import { test } from "node:test";
import { parsePair } from "./verbs/upgrade.ts";

test("a side of an upgrade is Istio's version, or ISTIO@ENVOY", () => {
  assert.deepEqual(parsePair("1.31"), { istio: "1.31", envoy: undefined });
  assert.deepEqual(parsePair("1.30@1.36"), { istio: "1.30", envoy: "1.36" });
  assert.deepEqual(parsePair("1.29.2"), { istio: "1.29.2", envoy: undefined });
  for (const text of ["1.30@", "@", "1.30@1.36@1.37", "1.29"])
    assert.throws(() => parsePair(text), { code: "ERR_USAGE" }, text);
});
