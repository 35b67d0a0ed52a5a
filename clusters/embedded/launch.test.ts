import assert from "node:assert/strict";
import { test } from "node:test";
import { namespaceCommand } from "./launch.ts";
import type { SupervisorOptions } from "./messages.ts";

const options = { name: "x", base: "/b", apiPort: 1, installed: { node: "/node" } } as unknown as SupervisorOptions;

test("an ordinary user gets a user namespace, root does not need one", () => {
  assert.ok(namespaceCommand(false, false, options).includes("--user"));
  assert.ok(!namespaceCommand(false, true, options).includes("--user"));
});

test("a cluster that is not kept dies with its starter, and every cluster dies with unshare", () => {
  const bound = namespaceCommand(false, true, options);
  assert.equal(bound[bound.indexOf("--pdeathsig") + 1], "KILL");
  const kept = namespaceCommand(true, true, options);
  assert.equal(kept[kept.indexOf("--pdeathsig") + 1], "clear");
  for (const command of [bound, kept]) assert.ok(command.includes("--kill-child") && command.includes("--pid"));
});
