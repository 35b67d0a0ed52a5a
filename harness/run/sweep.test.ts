import assert from "node:assert/strict";
import { it } from "node:test";
import { fakeKube, fakeSession } from "./session.fixture.ts";
import { sweep } from "./sweep.ts";

/** The label selectors with which a sweep looks for what scenarios have left. */
async function asked(ours: boolean): Promise<unknown[]> {
  const labels: unknown[] = [];
  const list = (...args: readonly unknown[]) => {
    labels.push(args[7]);
    return Promise.resolve({ items: [] });
  };
  const { handle } = fakeSession({});
  await sweep(fakeSession({ kube: fakeKube({ objects: { list } }), handle: { ...handle, ours } }), []);
  return labels;
}

it("leaves the workloads and the journal, which have the run's label on a cluster that exists", async () => {
  assert.deepEqual(await asked(true), ["meshproof.dev/run,!meshproof.dev/workload,!meshproof.dev/journal"]);
  assert.deepEqual(await asked(false), ["meshproof.dev/run=r,!meshproof.dev/workload,!meshproof.dev/journal"]);
});
