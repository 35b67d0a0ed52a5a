import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Deployment } from "@kubernetes/client-node";
import type { Kube } from "./client.ts";
import { completeDeployments } from "./wait.ts";

test("a Deployment is complete when all its pods are available and as it says now", async () => {
  const ready = { observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
  const of = (name: string, status: V1Deployment["status"], replicas = 1): V1Deployment =>
    ({ metadata: { name, generation: 2 }, spec: { replicas }, status }) as V1Deployment;
  const items = [
    of("ready", ready),
    of("unseen", { ...ready, observedGeneration: 1 }),
    of("old-pod", { ...ready, replicas: 2 }),
    of("starting", { ...ready, availableReplicas: 0 }),
    of("new", undefined),
    of("none-wanted", { observedGeneration: 2 }, 0),
  ];
  const apps = { listNamespacedDeployment: () => Promise.resolve({ items }) } as unknown as Kube["apps"];
  assert.deepEqual([...(await completeDeployments({ apps }, "foo"))], ["ready", "none-wanted"]);
});
