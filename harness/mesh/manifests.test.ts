import assert from "node:assert/strict";
import { test } from "node:test";
import { withAuthority } from "./manifests.ts";

test("the cluster's CA replaces its placeholder in istiod's ConfigMap, and no other field changes", () => {
  const other = { apiVersion: "v1", kind: "ConfigMap", metadata: { name: "istio" }, data: { mesh: "x" } };
  const extra = {
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "pilot-jwks-extra-cacerts" },
    data: { "extra.pem": "JWKS-CA-OF-THIS-CLUSTER" },
  };
  assert.deepEqual(withAuthority([other, extra], "PEM"), [other, { ...extra, data: { "extra.pem": "PEM" } }]);
});
