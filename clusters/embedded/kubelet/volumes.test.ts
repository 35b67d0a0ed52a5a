import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { referencesOf } from "./objects.ts";
import { renewalTime } from "./tokens.ts";
import { nestedMountPoints } from "./volumes.ts";

const pod: V1Pod = {
  spec: {
    containers: [
      {
        name: "proxy",
        env: [{ name: "A", valueFrom: { secretKeyRef: { name: "key", key: "k" } } }],
        envFrom: [{ configMapRef: { name: "env" } }],
        volumeMounts: [
          { name: "ca", mountPath: "/var/run/secrets/istio" },
          { name: "crl", mountPath: "/var/run/secrets/istio/crl" },
          { name: "token", mountPath: "/var/run/secrets/tokens" },
          { name: "crl", mountPath: "./relative", subPath: "x" },
        ],
      },
    ],
    volumes: [
      { name: "ca", configMap: { name: "root-cert" } },
      { name: "crl", secret: { secretName: "crl" } },
      { name: "token", projected: { sources: [{ configMap: { name: "projected" } }] } },
    ],
  },
};

test("finds where one volume is mounted inside another", () => {
  assert.deepEqual(nestedMountPoints(pod, "ca"), ["crl"]);
  assert.deepEqual(nestedMountPoints(pod, "crl"), []);
});

test("knows every config map and secret that a pod names", () => {
  assert.deepEqual([...referencesOf(pod)].sort(), [
    "configmaps/env",
    "configmaps/projected",
    "configmaps/root-cert",
    "secrets/crl",
    "secrets/key",
  ]);
});

test("a token is renewed after four fifths of its life, at the latest after a day", () => {
  const hour = 3_600_000;
  assert.equal(renewalTime(0, hour), 0.8 * hour);
  assert.equal(renewalTime(0, 365 * 24 * hour), 24 * hour);
});
