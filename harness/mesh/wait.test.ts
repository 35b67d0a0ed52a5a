import assert from "node:assert/strict";
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { describe, it, type TestContext } from "node:test";
import type { V1ConfigMap, V1Deployment, V1Pod } from "@kubernetes/client-node";
import { sendEvents, serveApi } from "./api-server.fixture.ts";
import type { Kube } from "./client.ts";
import { completeDeployments, readyPods, waitFor, waitForDeployment } from "./wait.ts";

const PATH = "/api/v1/namespaces/foo/configmaps";
const object = (name: string): V1ConfigMap => ({ metadata: { namespace: "foo", name } });
const options = {
  limitMs: 600_000,
  code: "ERR_WORKLOAD_NOT_READY",
  explain: (seen: ReadonlyMap<string, V1ConfigMap>) => `only ${[...seen.keys()].join()}`,
} as const;

/** A test that waits for what does not come ends earlier than its limits. */
const timeout = 30_000;

function fakeClock(t: TestContext): { advance(ms: number): void } {
  const now = performance.now.bind(performance);
  let ahead = 0;
  t.mock.method(performance, "now", () => now() + ahead);
  return { advance: (ms) => void (ahead += ms) };
}

/** Serves watches: each connection gets the next of these. */
async function watches(t: TestContext, ...each: readonly ((response: ServerResponse) => void)[]) {
  const urls: string[] = [];
  const kube = await serveApi(t, {
    http: ({ url }, response) => each[Math.min(urls.push(url ?? ""), each.length) - 1]?.(response),
  });
  return { kube, urls };
}

describe("waiting for objects", { timeout }, () => {
  it("ends as soon as they fit, and knows which are there now", async (t) => {
    const { kube, urls } = await watches(t, (response) =>
      sendEvents(
        response,
        ["ADDED", object("a")],
        ["ADDED", object("b")],
        ["DELETED", object("a")],
        ["BOOKMARK", object("c")],
        ["MODIFIED", object("d")],
      ),
    );
    const seen: string[] = [];
    const found = await waitFor<V1ConfigMap, string>(
      kube,
      PATH,
      { labelSelector: "app=x" },
      (objects) => {
        seen.push([...objects.keys()].join(" "));
        return objects.has("foo/d") ? "there" : undefined;
      },
      options,
    );
    assert.equal(found, "there");
    assert.deepEqual(seen, ["foo/a", "foo/a foo/b", "foo/b", "foo/b foo/d"]);
    assert.deepEqual(urls, [`${PATH}?watch=true&labelSelector=app%3Dx`]);
  });

  it("watches again where the server ends the watch or refuses it, and forgets what is gone since", async (t) => {
    const { kube, urls } = await watches(
      t,
      (response) => (sendEvents(response, ["ADDED", object("old")]), response.end()),
      (response) => (response.writeHead(500), response.end()),
      (response) => sendEvents(response, ["ADDED", object("new")]),
    );
    const found = await waitFor<V1ConfigMap, string>(
      kube,
      PATH,
      {},
      (objects) => (objects.has("foo/new") ? [...objects.keys()].join() : undefined),
      options,
    );
    assert.deepEqual([found, urls.length], ["foo/new", 3]);
  });

  it("ends with what the condition throws, at once", async (t) => {
    const { kube } = await watches(t, (response) => sendEvents(response, ["ADDED", object("a")]));
    const refuse = (): never => {
      throw new Error("not this one");
    };
    await assert.rejects(waitFor<V1ConfigMap, never>(kube, PATH, {}, refuse, { ...options, limitMs: 5_000 }), {
      message: "not this one",
    });
  });

  it("is an error after the limit, with what was seen last", async (t) => {
    const clock = fakeClock(t);
    const { kube } = await watches(t, (response) => {
      sendEvents(response, ["ADDED", object("a")]);
      clock.advance(options.limitMs);
      response.end();
    });
    await assert.rejects(
      waitFor<V1ConfigMap, true>(kube, PATH, {}, () => undefined, options),
      { code: "ERR_WORKLOAD_NOT_READY", message: "only foo/a (waited 600 s)" },
    );
  });

  it("ends at the limit also where the server sends nothing", async (t) => {
    const { kube } = await watches(t, () => undefined);
    const waiting = waitFor<V1ConfigMap, true>(kube, PATH, {}, () => undefined, { ...options, limitMs: 100 });
    await assert.rejects(waiting, { message: "only  (waited 0 s)" });
  });

  it("is given up at a signal, and so is the watch", async (t) => {
    const stop = new AbortController();
    const closed = Promise.withResolvers<unknown>();
    const { kube, urls } = await watches(t, (response) => {
      closed.resolve(once(response, "close"));
      sendEvents(response, ["ADDED", object("a")]);
    });
    const waiting = waitFor<V1ConfigMap, true>(kube, PATH, {}, () => void stop.abort(new Error("interrupted")), {
      ...options,
      signal: stop.signal,
    });
    await assert.rejects(waiting, /^Error: interrupted$/);
    await closed.promise;
    assert.equal(urls.length, 1);
  });
});

const READY = { observedGeneration: 2, replicas: 1, updatedReplicas: 1, availableReplicas: 1 };
const deployment = (name: string, status: V1Deployment["status"], replicas = 1) =>
  ({ metadata: { namespace: "foo", name, generation: 2 }, spec: { replicas }, status }) as V1Deployment;

describe("a Deployment", { timeout }, () => {
  it("is complete when all its pods are available and as it says now", async () => {
    const items = [
      deployment("ready", READY),
      deployment("unseen", { ...READY, observedGeneration: 1 }),
      deployment("old-pod", { ...READY, replicas: 2 }),
      deployment("starting", { ...READY, availableReplicas: 0 }),
      deployment("new", undefined),
      deployment("none-wanted", { observedGeneration: 2 }, 0),
    ];
    const apps = { listNamespacedDeployment: () => Promise.resolve({ items }) } as unknown as Kube["apps"];
    assert.deepEqual([...(await completeDeployments({ apps }, "foo"))], ["ready", "none-wanted"]);
  });

  it("is waited for by its name, until it is complete", async (t) => {
    const { kube, urls } = await watches(t, (response) =>
      sendEvents(
        response,
        ["ADDED", deployment("a", { ...READY, availableReplicas: 0 })],
        ["MODIFIED", deployment("a", READY)],
      ),
    );
    await waitForDeployment(kube, "foo", "a", { limitMs: 600_000 });
    assert.deepEqual(urls, ["/apis/apps/v1/namespaces/foo/deployments?watch=true&fieldSelector=metadata.name%3Da"]);
  });

  it("is not complete before it has the pods that its owner demands", async (t) => {
    const { kube, urls } = await watches(
      t,
      (response) => {
        sendEvents(response, ["ADDED", deployment("a", READY)]);
        response.end();
      },
      (response) => sendEvents(response, ["ADDED", deployment("a", { observedGeneration: 2 }, 0)]),
    );
    await waitForDeployment(kube, "foo", "a", { limitMs: 600_000, replicas: 0 });
    assert.equal(urls.length, 2);
  });

  it("that is not complete in time is an error that says how far it came", async (t) => {
    const clock = fakeClock(t);
    const { kube } = await watches(
      t,
      (response) => {
        const status = { ...READY, replicas: 3, updatedReplicas: 2, availableReplicas: 1 };
        sendEvents(response, ["ADDED", deployment("a", status, 3)]);
        clock.advance(600_000);
        response.end();
      },
      () => undefined,
    );
    const wait = (name: string, limitMs?: number): Promise<void> =>
      waitForDeployment(kube, "foo", name, { ...(limitMs !== undefined && { limitMs }) });
    const code = "ERR_WORKLOAD_NOT_READY";
    await assert.rejects(wait("a"), { code, message: /^Deployment foo\/a is not ready: 1 of 3 pods available \(/ });
    await assert.rejects(wait("b", 50), { code, message: /^Deployment foo\/b is not ready: it does not exist \(/ });
  });
});

describe("ready pods", () => {
  it("are those that are ready and not being deleted, the oldest first", async () => {
    const pod = (name: string, second: number, status = "True", metadata: V1Pod["metadata"] = {}): V1Pod => ({
      metadata: { name, creationTimestamp: new Date(second * 1000), ...metadata },
      status: {
        conditions: [
          { type: "Ready", status },
          { type: "PodScheduled", status: "True" },
        ],
      },
    });
    const items = [
      pod("young", 30),
      pod("old", 10),
      pod("starting", 1, "False"),
      pod("ending", 2, "True", { deletionTimestamp: new Date() }),
    ];
    const core = { listNamespacedPod: () => Promise.resolve({ items }) } as unknown as Kube["core"];
    const found = await readyPods({ core } as Kube, "foo", "app=x");
    assert.deepEqual(
      found.map(({ metadata }) => metadata?.name),
      ["old", "young"],
    );
  });
});
