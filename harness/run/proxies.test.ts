import assert from "node:assert/strict";
import { test } from "node:test";
import { proxyOf } from "./places.ts";
import { requestsFor } from "./proxies.ts";

test("so many requests miss one of a proxy's workers once in ten million times at most", () => {
  assert.equal(requestsFor(1), 1);
  for (const workers of [2, 3, 16, 64]) {
    const requests = requestsFor(workers);
    const missed = (n: number): number => workers * (1 - 1 / workers) ** n;
    assert.ok(missed(requests) <= 1e-7 && missed(requests - 1) > 1e-7, `${workers} workers, ${requests} requests`);
  }
});

test("a proxy's identity is its pod's service account, not its label app", () => {
  const metadata = { namespace: "foo", name: "client-1", labels: { app: "sleep" } };
  const containers = [{ name: "istio-proxy" }];
  assert.equal(proxyOf({ metadata, spec: { containers, serviceAccountName: "batch" } }).serviceAccount, "batch");
  assert.equal(proxyOf({ metadata, spec: { containers } }).serviceAccount, "default");
});
