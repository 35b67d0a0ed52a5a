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

test("what was taken from the reporter's answer is named as an assumption, beside the verdict", () => {
  const open = { kind: "sidecar-open", of: ["Service web"], sidecar: false, decides: "no" } as const;
  const [main, other] = [{ status: 200, by: "workload" } as const, { status: 403, by: "authorization" } as const];
  const text = formatAnswer({
    ...ticket(),
    differences: [
      { ...open, main, other },
      { ...open, main, other: main },
    ],
  });
  assert.match(
    text,
    /Assumed, as the reporter had this answer\n.* without one the answer is 200, with one 403 by authorization/,
  );
  assert.match(text, /Changed, without an effect on the answer\n.* with one and without one the answer is 200\n/);
});

test("the cause names the outcome of a refusal that has no HTTP status of its own", () => {
  const answer = ticket();
  assert.equal(answer.cause.kind, "path-not-exempt");
  const withStatus = (status: number): string =>
    formatAnswer({ ...answer, cause: { ...answer.cause, status } as typeof answer.cause });
  assert.match(withStatus(0), /, so the connection is closed without an answer\.$/m);
  assert.match(withStatus(200), /, so the answer is 200 with grpc-status 7 \(PermissionDenied\)\.$/m);
});
