import assert from "node:assert/strict";
import { test } from "node:test";
import type { Kube } from "../harness/mesh/client.ts";
import { findProxyPod } from "./verbs/explain.ts";

test("a pod is found by its name or a prefix of it, and otherwise the error lists the pods with a proxy", async () => {
  const pod = (name: string, container: string) => ({
    metadata: { name },
    spec: { containers: [{ name: container }] },
  });
  const items = [
    ...["httpbin-1-a", "sleep-1-a", "sleep-1-b"].map((name) => pod(name, "istio-proxy")),
    pod("plain-1-a", "app"),
  ];
  const kube = { core: { listNamespacedPod: () => Promise.resolve({ items }) } } as unknown as Pick<Kube, "core">;
  assert.equal(await findProxyPod(kube, "foo", "httpbin-1-a"), "httpbin-1-a");
  assert.equal(await findProxyPod(kube, "foo", "httpbin"), "httpbin-1-a");
  for (const [name, message] of [
    ["sleep", /several pods whose name begins with sleep/],
    ["http", /foo has no pod http with a container istio-proxy/],
    ["plain-1-a", /foo\/plain-1-a has no container istio-proxy/],
  ] as const)
    await assert.rejects(findProxyPod(kube, "foo", name), {
      code: "ERR_USAGE",
      message,
      hint: "choose one of httpbin-1-a, sleep-1-a, sleep-1-b",
    });
});
