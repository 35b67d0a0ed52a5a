import assert from "node:assert/strict";
import { test } from "node:test";
import { canBeWaypoints, upstreamEnvoyFilters } from "./waypoints.ts";

test("upstream Envoy can be a waypoint since 1.38, Istio's own always", () => {
  const can = (upstreamEnvoy: boolean, envoy: string): boolean => canBeWaypoints({ upstreamEnvoy, envoy });
  assert.deepEqual(
    ["1.36.4", "1.37.9", "1.38.0", "1.40.0"].map((envoy) => can(true, envoy)),
    [false, false, true, true],
  );
  assert.equal(can(false, "1.36.4"), true);
  assert.equal(can(false, ""), true);
});

test("what two peers must not share is hashed: each value of Istio's own keys", () => {
  const patches = upstreamEnvoyFilters().map(({ spec }) =>
    JSON.stringify((spec as { configPatches: unknown }).configPatches),
  );
  assert.equal(new Set(patches).size, 1);
  const keys = [...(patches[0] ?? "").matchAll(/"object_key":"([^"]+)"(?:,"factory_key":"([^"]+)")?/g)];
  assert.deepEqual(
    keys.filter(([, key = ""]) => key.startsWith("io.istio.")).map(([, , factory]) => factory),
    ["envoy.hashable_string", "envoy.hashable_string", "envoy.hashable_string"],
  );
  assert.equal(keys.length, 5);
});
