import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod, V1Volume } from "@kubernetes/client-node";
import { type PayloadSources, payloadOf, VolumeError } from "./payload.ts";

const pod: V1Pod = {
  metadata: { name: "p", namespace: "foo", labels: { app: "x" } },
  spec: { containers: [{ name: "c", resources: { limits: { memory: "1Gi" } } }] },
};
const sources: PayloadSources = {
  pod,
  facts: { podIp: "10.244.0.2", hostIp: "10.244.0.1", nodeName: "node", allocatable: {} },
  configMap: (name) =>
    name === "cm"
      ? { data: { a: "A", b: "B" }, binaryData: { c: Buffer.from([0, 255]).toString("base64") } }
      : undefined,
  secret: (name) => (name === "s" ? { data: { key: Buffer.from("hidden").toString("base64") } } : undefined),
  token: ({ audience }) => `token for ${audience}`,
};

function filesOf(volume: Omit<V1Volume, "name">, from = sources): Record<string, string> | undefined {
  const payload = payloadOf({ name: "v", ...volume }, from);
  return (
    payload &&
    Object.fromEntries(
      [...payload].map(([path, { data, mode }]) => [path, `${mode.toString(8)} ${data.toString("latin1")}`]),
    )
  );
}

test("all keys of a config map, or the chosen ones under their paths and modes", () => {
  assert.deepEqual(filesOf({ configMap: { name: "cm" } }), { a: "644 A", b: "644 B", c: "644 \0\xff" });
  assert.deepEqual(
    filesOf({
      configMap: {
        name: "cm",
        defaultMode: 0o400,
        items: [
          { key: "a", path: "deep/er/a" },
          { key: "b", path: "b", mode: 0o755 },
        ],
      },
    }),
    { "deep/er/a": "400 A", b: "755 B" },
  );
});

test("a secret is decoded", () => {
  assert.deepEqual(filesOf({ secret: { secretName: "s", defaultMode: 0o440 } }), { key: "440 hidden" });
});

test("a missing object or key is an error, unless it is optional", () => {
  const refuses = (volume: Omit<V1Volume, "name">, message: string): void =>
    assert.throws(() => filesOf(volume), new VolumeError(message));
  refuses({ configMap: { name: "gone" } }, 'configmap "gone" not found');
  refuses({ secret: { secretName: "gone" } }, 'secret "gone" not found');
  refuses({ configMap: { name: "cm", items: [{ key: "z", path: "z" }] } }, "references non-existent configmap key: z");
  assert.deepEqual(filesOf({ configMap: { name: "gone", optional: true } }), {});
  assert.deepEqual(filesOf({ configMap: { name: "cm", optional: true, items: [{ key: "z", path: "z" }] } }), {});
});

test("a projected volume lays its sources together", () => {
  const projected = {
    sources: [
      { serviceAccountToken: { path: "token", audience: "istio-ca" } },
      { configMap: { name: "cm", items: [{ key: "a", path: "ca.crt" }] } },
      { downwardAPI: { items: [{ path: "labels", fieldRef: { fieldPath: "metadata.labels" } }] } },
      { secret: { name: "gone", optional: true } },
    ],
  };
  assert.deepEqual(filesOf({ projected }), {
    token: "644 token for istio-ca",
    "ca.crt": "644 A",
    labels: '644 app="x"',
  });
  const withGroup: V1Pod = { ...pod, spec: { containers: [], securityContext: { fsGroup: 1337 } } };
  assert.equal(filesOf({ projected }, { ...sources, pod: withGroup })?.["token"], "600 token for istio-ca");
});

test("the downward API gives resources as well", () => {
  const items = [
    { path: "memory", resourceFieldRef: { containerName: "c", resource: "limits.memory", divisor: "1Mi" } },
  ];
  assert.deepEqual(filesOf({ downwardAPI: { items } }), { memory: "644 1024" });
});

test("no path leads out of a volume", () => {
  for (const path of ["../a", "a/../../b", "/etc/passwd", "", "..data", "a//b"])
    assert.throws(() => filesOf({ configMap: { name: "cm", items: [{ key: "a", path }] } }), VolumeError, path);
});

test("other kinds have no payload", () => {
  assert.equal(filesOf({ emptyDir: {} }), undefined);
  assert.equal(filesOf({ hostPath: { path: "/" } }), undefined);
});
