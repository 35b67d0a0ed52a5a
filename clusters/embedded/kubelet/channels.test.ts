import assert from "node:assert/strict";
import { test } from "node:test";
import { CHANNEL, chooseSubprotocol, exitStatus, frame, readMessage } from "./channels.ts";

test("takes the newest sub-protocol that is offered", () => {
  assert.equal(chooseSubprotocol(new Set(["v4.channel.k8s.io", "v5.channel.k8s.io"])), "v5.channel.k8s.io");
  assert.equal(chooseSubprotocol(new Set(["v4.base64.channel.k8s.io", "v4.channel.k8s.io"])), "v4.channel.k8s.io");
  assert.equal(chooseSubprotocol(new Set(["mqtt"])), undefined);
});

test("reads input, its end, and a terminal's size", () => {
  assert.deepEqual(readMessage(Buffer.from([0, 104, 105])), { kind: "stdin", data: Buffer.from("hi") });
  assert.deepEqual(readMessage(Buffer.from([255, 0])), { kind: "stdin-end" });
  assert.deepEqual(readMessage(frame(CHANNEL.resize, '{"Width":80,"Height":24}')), {
    kind: "resize",
    columns: 80,
    rows: 24,
  });
});

test("ignores what it does not understand", () => {
  for (const message of [
    Buffer.alloc(0),
    Buffer.from([255, 1]),
    Buffer.from([9, 1]),
    frame(CHANNEL.resize, "{"),
    frame(CHANNEL.resize, '{"Width":"80; reboot","Height":24}'),
    frame(CHANNEL.resize, '{"Width":-1,"Height":24}'),
  ])
    assert.deepEqual(readMessage(message), { kind: "nothing" });
});

test("puts an exit code where kubectl looks for it", () => {
  assert.deepEqual(exitStatus(0), { metadata: {}, status: "Success" });
  assert.deepEqual((exitStatus(3) as { details: unknown }).details, { causes: [{ reason: "ExitCode", message: "3" }] });
});
