import assert from "node:assert/strict";
import { test } from "node:test";
import { KubeConfig } from "@kubernetes/client-node";
import type { Kube } from "./client.ts";
import { istiodVersions, istioVersion, serverVersion } from "./versions.ts";

test("istiod's version is the tag of its build information", () => {
  assert.equal(istioVersion("1.31.0-eed52ebb66ad-Clean\n"), "1.31.0");
  assert.equal(istioVersion("1.31.0-rc.1-eed52ebb66ad-Modified"), "1.31.0-rc.1");
  assert.equal(istioVersion("1.30-20260826-9739e10eb9d7-Clean"), "1.30-20260826");
});

test("a running Envoy's version is the second part of its admin interface's version string", () => {
  assert.equal(serverVersion("66e8f2/1.36.4/Clean/RELEASE/BoringSSL"), "1.36.4");
});

/** A mesh of istiods that report these versions through the API server's proxy; undefined: the proxy rejects the request. */
function mesh(said: readonly (string | undefined)[]): Kube {
  const items = said.map((_, index) => ({
    metadata: { name: `istiod-${index}`, namespace: "mesh" },
    status: { conditions: [{ type: "Ready", status: "True" }] },
  }));
  const connectGetNamespacedPodProxyWithPath = ({ name }: { name: string }): Promise<string> => {
    const text = said[Number(/^istiod-(\d):15014$/.exec(name)?.[1])];
    return text === undefined ? Promise.reject(new Error("forbidden")) : Promise.resolve(text);
  };
  const core = { listNamespacedPod: () => Promise.resolve({ items }), connectGetNamespacedPodProxyWithPath };
  // The client has no cluster, so an exec fails as it does without permission.
  return { core, config: new KubeConfig() } as unknown as Kube;
}

test("a mesh's versions are those that its istiods report, and unknown if one does not respond", async () => {
  const ask = (...said: (string | undefined)[]) => istiodVersions(mesh(said), "mesh", "app=istiod");
  assert.equal(await ask("1.29.2-abc-Clean"), "1.29.2");
  assert.equal(await ask("1.29.2-abc-Clean", "1.29.2-abc-Clean"), "1.29.2");
  assert.equal(await ask("1.31.0-abc-Clean", "1.29.2-abc-Clean"), "1.29.2, 1.31.0");
  assert.equal(await ask("1.31.0-abc-Clean", undefined), undefined);
  assert.equal(await ask(), undefined);
});
