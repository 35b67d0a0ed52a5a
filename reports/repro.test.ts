import assert from "node:assert/strict";
import { test } from "node:test";
import { hostileTicket } from "../test/recorded/change-pages.ts";
import { ticket } from "../test/recorded/results.ts";
import { formatAnswer, formatReproJson } from "./repro.ts";

test("a ticket's answer for a terminal: the cause first, then the matrix and the rules", () => {
  const text = formatAnswer(ticket());
  assert.match(text, /^AuthorizationPolicy istio-system\/frontend-ingress-whitelist denies every path/);
  assert.match(text, /✓ path: \/healthz — rule requires: not prefix "\/test\/"$/m);
});

test("text from the mesh cannot move the terminal's cursor", () =>
  assert.ok(!formatAnswer(hostileTicket()).includes("\u001b")));

test("the JSON has the cause as data, and as a sentence for people", () => {
  const { cause, text } = JSON.parse(formatReproJson(ticket())) as { cause: { kind: string }; text: { cause: string } };
  assert.equal(cause.kind, "path-not-exempt");
  assert.match(text.cause, /denies every path that its notPaths do not list/);
});
