import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inLanes } from "./lanes.ts";

/** Runs every callback that is already queued. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe("lanes", () => {
  it("return the results in the order of the items, and never run more than the given number at once", async () => {
    let running = 0;
    let most = 0;
    const numbers = Array.from({ length: 100 }, (_, i) => i);
    const doubled = await inLanes(
      numbers,
      async (n, index) => {
        assert.equal(n, index);
        most = Math.max(most, ++running);
        for (let turns = n % 3; turns >= 0; turns--) await settle();
        running--;
        return n * 2;
      },
      8,
    );
    assert.deepEqual(
      doubled,
      numbers.map((n) => n * 2),
    );
    assert.equal(most, 8);
  });

  it("take any iterable, an empty one too", async () => {
    assert.deepEqual(await inLanes(new Set(["a", "b"]), (text) => Promise.resolve(text)), ["a", "b"]);
    assert.deepEqual(await inLanes([], () => Promise.reject(new Error("never called"))), []);
  });

  it("start nothing after a failure, and throw the first one when the running items have ended", async () => {
    const begun: number[] = [];
    const ended: number[] = [];
    const work = async (n: number): Promise<void> => {
      begun.push(n);
      await settle();
      if (n === 1) throw new Error("the first");
      await settle();
      await settle();
      ended.push(n);
      if (n === 2) throw new Error("a later one");
    };
    await assert.rejects(inLanes([0, 1, 2, 3, 4, 5, 6], work, 3), { message: "the first" });
    assert.deepEqual(begun, [0, 1, 2]);
    assert.deepEqual(ended, [0, 2]);
  });
});
