import assert from "node:assert/strict";
import { test } from "node:test";
import { istioVersion, serverVersion } from "./versions.ts";

test("istiod's version is the tag of its build information", () => {
  assert.equal(istioVersion("1.31.0-eed52ebb66ad-Clean\n"), "1.31.0");
  assert.equal(istioVersion("1.31.0-rc.1-eed52ebb66ad-Modified"), "1.31.0-rc.1");
  assert.equal(istioVersion("1.30-20260826-9739e10eb9d7-Clean"), "1.30-20260826");
});

test("a running Envoy's version is the second part of what its admin interface says", () => {
  assert.equal(serverVersion("66e8f2/1.36.4/Clean/RELEASE/BoringSSL"), "1.36.4");
});
