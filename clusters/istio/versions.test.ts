import assert from "node:assert/strict";
import { test } from "node:test";
import { istioVersion } from "./versions.ts";

test("istiod's version is the tag of its build information", () => {
  assert.equal(istioVersion("1.31.0-eed52ebb66ad-Clean\n"), "1.31.0");
  assert.equal(istioVersion("1.31.0-rc.1-eed52ebb66ad-Modified"), "1.31.0-rc.1");
});
