import assert from "node:assert/strict";
import path from "node:path";
import { describe, it } from "node:test";
import { judgeAnswer, readCheckedTickets, readRightAnswer } from "./check.ts";

const EXAMPLES = path.join(import.meta.dirname, "../../docs/examples/tickets");

describe("a right answer in ticket.md", () => {
  const read = (text: string) =>
    readRightAnswer(`# A title\n\n- Seen: 500.\n\n**Right answer**: ${text}\n\nHow sure: 99%.`);

  it("is a status, with who denies", () => {
    assert.deepEqual(read("403 by authorization (no policy matched). With 200 ..."), {
      outcome: 403,
      by: "authorization",
    });
    assert.deepEqual(read("401 by authentication: `Jwt verification fails`."), { outcome: 401, by: "authentication" });
    assert.deepEqual(read("200. A policy is enforced where requests arrive."), { outcome: 200, by: undefined });
  });

  it("is a denial or a closed connection without a status", () => {
    assert.deepEqual(read("denied by authorization, no policy matched. Envoy answers 200."), {
      outcome: "denied",
      by: "authorization",
    });
    assert.deepEqual(read("the connection is closed by the TCP RBAC filter, no HTTP status."), { outcome: "closed" });
  });

  it("is not guessed", () => {
    assert.deepEqual(read("what the external authorizer answers (302), never 401."), { outcome: undefined });
    assert.deepEqual(readRightAnswer("# A title"), { outcome: undefined });
  });
});

it("the tickets of the docs have a right answer each", async () => {
  const tickets = await readCheckedTickets(EXAMPLES);
  assert.ok(tickets.length >= 5);
  for (const { name, args, right } of tickets) {
    assert.notEqual(right.outcome, undefined, name);
    assert.equal(args[0], path.join(EXAMPLES, name));
  }
  await assert.rejects(readCheckedTickets(import.meta.dirname), /has no ticket/);
});

describe("an answer", () => {
  const answer = (status: number, by: "workload" | "authorization" | "nobody") => ({
    verdict: { status, by, body: "" },
    cause: { kind: "answer", answer: { status, by }, lost: false } as const,
  });

  it("is right by its status and who answers", () => {
    assert.equal(judgeAnswer({ outcome: 403, by: "authorization" }, answer(403, "authorization"), ""), "right");
    assert.equal(judgeAnswer({ outcome: 403 }, answer(403, "workload"), ""), "wrong");
    assert.equal(judgeAnswer({ outcome: 200 }, answer(200, "authorization"), ""), "wrong");
    assert.equal(judgeAnswer({ outcome: "closed" }, answer(0, "nobody"), ""), "right");
    assert.equal(judgeAnswer({ outcome: 403, cause: "decision" }, answer(403, "authorization"), ""), "wrong");
    assert.equal(judgeAnswer({ outcome: 403, says: ["hosts"] }, answer(403, "authorization"), "the path"), "wrong");
  });

  it("is refused if it was not reproduced, and unread without a right answer", () => {
    const refused = { ...answer(200, "workload"), reproduced: false };
    assert.equal(judgeAnswer({ outcome: 403 }, refused, ""), "refused");
    assert.equal(judgeAnswer({ outcome: "refused" }, refused, ""), "right");
    assert.equal(judgeAnswer({ outcome: 403 }, undefined, ""), "error");
    assert.equal(judgeAnswer({ outcome: "rejected" }, undefined, "", "ERR_MANIFEST_REJECTED"), "right");
    assert.equal(judgeAnswer({ outcome: "rejected" }, undefined, "", "ERR_USAGE"), "error");
  });
});
