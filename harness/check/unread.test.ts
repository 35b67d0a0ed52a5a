import assert from "node:assert/strict";
import { test } from "node:test";
import type { ManifestObject } from "../model/manifest.ts";
import { sidecar } from "../run/session.fixture.ts";
import { findUnread } from "./unread.ts";

const object = (kind: string, spec: object = {}, labels?: Record<string, string>): ManifestObject => ({
  apiVersion: "v1",
  kind,
  metadata: { name: "one", namespace: "foo", ...(labels && { labels }) },
  spec,
});
const IN_MESH = { proxy: sidecar("sleep") };
const OUTSIDE = {};

test("an object that may decide, and is not evaluated, is named", () => {
  const table: readonly (readonly [object: ManifestObject, to: string, from: object, found: string | undefined])[] = [
    [object("AuthorizationPolicy"), "httpbin", IN_MESH, undefined],
    [object("NetworkPolicy"), "httpbin", OUTSIDE, "object-not-evaluated"],
    [object("EnvoyFilter"), "httpbin", IN_MESH, "object-not-evaluated"],
    [object("EnvoyFilter"), "httpbin", OUTSIDE, undefined],
    [object("VirtualService", { hosts: ["httpbin"] }), "httpbin", IN_MESH, "object-not-evaluated"],
    [object("VirtualService", { hosts: ["httpbin.foo"] }), "httpbin", IN_MESH, "object-not-evaluated"],
    [object("VirtualService", { hosts: ["*"] }), "httpbin", IN_MESH, "object-not-evaluated"],
    [object("VirtualService", { hosts: ["other"] }), "httpbin", IN_MESH, undefined],
    [object("VirtualService", { hosts: ["httpbin"], gateways: ["shop"] }), "httpbin", IN_MESH, undefined],
    [
      object("VirtualService", { hosts: ["httpbin"], gateways: ["shop", "mesh"] }),
      "httpbin",
      IN_MESH,
      "object-not-evaluated",
    ],
    [
      object("DestinationRule", { host: "other", trafficPolicy: { tls: { mode: "DISABLE" } } }),
      "httpbin",
      OUTSIDE,
      "object-not-evaluated",
    ],
    [object("Service", {}, { "istio.io/use-waypoint": "own" }), "gateway/gateway", OUTSIDE, "waypoint"],
    [object("Service", {}, { "istio.io/use-waypoint": "none" }), "gateway/gateway", OUTSIDE, undefined],
    [object("Service", {}, { "istio.io/use-waypoint": "own" }), "httpbin", IN_MESH, undefined],
  ];
  for (const [one, to, from, found] of table)
    assert.equal(findUnread([one], { to }, from)?.kind, found, JSON.stringify([one.kind, one["spec"], to]));
});
