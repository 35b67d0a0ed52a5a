import assert from "node:assert/strict";
import { test } from "node:test";
import { toOracleRequest } from "./explain.ts";
import type { Place, Proxy } from "./places.ts";

const sidecar = (name: string, serviceAccount: string): Proxy => ({
  namespace: "foo",
  pod: `${name}-1`,
  ip: "10.0.0.1",
  labels: { app: name },
  serviceAccount,
  gateway: false,
});

test("the sender is its service account, not its label app", () => {
  const place: Place = {
    container: { namespace: "foo", pod: "sleep-1", container: "sleep" },
    workload: "deploy/sleep",
    proxy: sidecar("sleep", "batch"),
  };
  const wire = { method: "GET", url: "http://httpbin.foo:8000/headers", headers: [] };
  assert.equal(
    toOracleRequest(wire, place, sidecar("httpbin", "httpbin"), "httpbin", "corp.example").peer,
    "corp.example/ns/foo/sa/batch",
  );
});
