import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { commandOf, shardOf } from "./playwright-command.ts";

describe("a command of Playwright", () => {
  it("is recorded as it was typed, with the cluster", () => {
    const args = ["test", "--grep", "jwt/a|paths", "--shard=1/4"];
    assert.equal(commandOf(args, {}), "npx playwright test --grep 'jwt/a|paths' --shard=1/4");
    assert.equal(
      commandOf(["test"], { MESHPROOF_CLUSTER: "existing/my prod" }),
      "MESHPROOF_CLUSTER='existing/my prod' npx playwright test",
    );
  });

  it("is a shard by what Playwright says, of the selection that its other arguments make", () => {
    const selectionOf = (...args: string[]) => shardOf({ shard: { current: 1, total: 4 } }, args)?.selection;
    const own = selectionOf("test", "--grep", "a", "--shard=1/4");
    assert.equal(selectionOf("test", "--grep", "a", "--shard", "2/4", "-j", "2", "--reporter=blob"), own);
    assert.equal(selectionOf("test", "--output=o", "--grep", "a", "--workers", "1"), own);
    for (const other of [["test"], ["test", "--grep", "b"], ["test", "--grep", "a", "--last-failed"]])
      assert.notEqual(selectionOf(...other), own, other.join(" "));
    assert.deepEqual(
      { ...shardOf({ shard: { current: 3, total: 4 } }, ["test"]), selection: "" },
      { index: 3, count: 4, selection: "", of: "arguments" },
    );
    assert.equal(shardOf({ shard: null }, ["test"]), undefined);
  });
});
