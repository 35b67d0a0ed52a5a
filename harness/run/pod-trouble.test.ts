import assert from "node:assert/strict";
import { it } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { findTrouble } from "./pod-trouble.ts";

const POD: V1Pod = {
  metadata: { name: "httpbin-1", namespace: "foo" },
  status: {
    phase: "Pending",
    initContainerStatuses: [
      { name: "istio-proxy", state: { waiting: { reason: "CrashLoopBackOff" } } },
      { name: "istio-init", state: { terminated: { reason: "Completed", exitCode: 0 } } },
    ],
    containerStatuses: [{ name: "httpbin", state: { waiting: { reason: "PodInitializing" } } }],
  } as NonNullable<V1Pod["status"]>,
};

const core = (readNamespacedPodLog: (asked: { readonly container?: string }) => Promise<string>) => ({
  core: { readNamespacedPodLog },
});

it("a container that ends again and again is told with the last line that it wrote", async () => {
  const asked: unknown[] = [];
  const kube = core((one) => {
    asked.push(one);
    return Promise.resolve("Error: couldn't initialize inotify: too many open files\n");
  });
  assert.equal(
    await findTrouble(kube, POD),
    "pod httpbin-1: istio-proxy CrashLoopBackOff, httpbin PodInitializing; " +
      "istio-proxy wrote at last: Error: couldn't initialize inotify: too many open files",
  );
  assert.deepEqual(asked, [{ name: "httpbin-1", namespace: "foo", container: "istio-proxy", tailLines: 1 }]);
});

it("without a log, the pod's status is all that is told", async () => {
  const known = "pod httpbin-1: istio-proxy CrashLoopBackOff, httpbin PodInitializing";
  assert.equal(
    await findTrouble(
      core(() => Promise.resolve("\n")),
      POD,
    ),
    known,
  );
  assert.equal(
    await findTrouble(
      core(() => Promise.reject(new Error("gone"))),
      POD,
    ),
    known,
  );
});
