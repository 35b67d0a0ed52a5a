import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { ApiError } from "./api.ts";
import { StatusPublisher } from "./status-publisher.ts";

const POD: V1Pod = { metadata: { namespace: "foo", name: "p", uid: "u" } };

function setUp(answers: (Error | undefined)[] = []) {
  const written: string[] = [];
  const gone = new AbortController();
  const state = { phase: "Pending" };
  const publisher = new StatusPublisher({
    api: {
      patch: async <T>(path: string, body: unknown): Promise<T> => {
        await Promise.resolve();
        const error = answers.shift();
        if (error) throw error;
        written.push(`${path} ${JSON.stringify(body)}`);
        return {} as T;
      },
    },
    pod: () => POD,
    status: () => ({ phase: state.phase }),
    gone: gone.signal,
    log: () => undefined,
  });
  return { written, gone, state, publisher };
}

const patchOf = (phase: string): string =>
  `/api/v1/namespaces/foo/pods/p/status {"metadata":{"uid":"u"},"status":{"phase":"${phase}"}}`;

test("writes a change once, and nothing without a change", async () => {
  const { written, state, publisher } = setUp();
  void publisher.publish();
  void publisher.publish();
  await publisher.publish();
  await publisher.publish();
  state.phase = "Running";
  await publisher.publish();
  assert.deepEqual(written, [patchOf("Pending"), patchOf("Running")]);
});

test("a change during a write is written after it", async () => {
  const { written, state, publisher } = setUp();
  const first = publisher.publish();
  await new Promise((resolve) => setImmediate(resolve));
  state.phase = "Running";
  await publisher.publish();
  await first;
  assert.equal(written.at(-1), patchOf("Running"));
});

test("tries again after a conflict, and gives up on a deleted pod", async () => {
  const conflicted = setUp([new ApiError(409, "conflict")]);
  await conflicted.publisher.publish();
  assert.deepEqual(conflicted.written, [patchOf("Pending")]);
  const deleted = setUp([new ApiError(404, "not found")]);
  await deleted.publisher.publish();
  assert.deepEqual(deleted.written, []);
});
