import assert from "node:assert/strict";
import { test } from "node:test";
import { sentences } from "../../reports/words.ts";
import type { Answer } from "../model/result.ts";
import type { CheckSpec } from "../model/scenario.ts";
import { type Convergence, type ConvergenceOptions, startConvergence } from "./convergence.ts";

type Check = Pick<CheckSpec, "expect" | "request">;

/** `200`, `401`… are the mesh's answers; `W401` is the workload's own, `0` is no answer, `closed` a closed connection. */
function answer(text: string): Answer {
  if (text === "closed") return { ...answer("0"), noAnswer: "closed" };
  const status = Number(text.replace("W", ""));
  const by = text.startsWith("W")
    ? "workload"
    : ({ 0: "nobody", 401: "authentication", 403: "authorization", 503: "proxy" } as const)[status];
  return { status, by: by ?? "workload", body: "", headers: {}, totalMs: 1 };
}

function check(expect: string, to = "httpbin"): Check {
  const { status, by } = answer(expect);
  return {
    expect: { status, by },
    request: { from: "sleep", to, method: "GET", path: "/", headers: [] },
  };
}

/** Feeds rounds such as `200 401`, 100 ms apart; returns the state after each. */
function run(
  checks: Check[],
  rounds: string[],
  options: Partial<ConvergenceOptions> & { flush?: string } = {},
): { convergence: Convergence; states: string[] } {
  const convergence = startConvergence({ checks, rounds: 3, limitMs: 1000, ...options });
  if (options.flush !== undefined) convergence.flush(options.flush.split(" ").map(answer));
  const states = rounds.map((round, index) =>
    convergence.add({ atMs: (index + 1) * 100, answers: round.split(" ").map(answer) }),
  );
  return { convergence, states };
}

function statuses(convergence: Convergence): (string | undefined)[][] {
  return convergence.outcomes().map(({ status, findings }) => (findings ? [status, sentences(findings)] : [status]));
}

const PAIR = [check("200"), check("401")];

test("three rounds that agree settle a step", () => {
  const { convergence, states } = run(PAIR, ["200 401", "200 401", "200 401"]);
  assert.deepEqual(states, ["continue", "continue", "settled"]);
  const [first] = convergence.outcomes();
  assert.deepEqual(first, { got: answer("200"), enforcedMs: 100, changes: [], status: "passed" });
});

test("a round that disagrees restarts the count, and enforcedMs is the first of the last rounds in a row", () => {
  const { convergence, states } = run(PAIR, ["200 200", "200 200", "200 401", "200 401", "200 401"]);
  assert.deepEqual(states, ["continue", "continue", "continue", "continue", "settled"]);
  assert.deepEqual(convergence.outcomes()[1], {
    got: answer("401"),
    enforcedMs: 300,
    changes: [{ round: 3, atMs: 300, status: 401, by: "authentication" }],
    status: "passed",
  });
});

test("a disagreement once the proxies had the config is flaky", () => {
  const rounds = ["200 200", "200 401", "200 401", "200 401"];
  const late = run(PAIR, rounds, { inForceMs: 50 });
  assert.deepEqual(statuses(late.convergence), [
    ["passed"],
    ["flaky", "round 1: expected 401 from authentication, got 200 from httpbin, although the proxies had the config"],
  ]);
  assert.deepEqual(statuses(run(PAIR, rounds, { inForceMs: 150 }).convergence), [["passed"], ["passed"]]);
});

test("a disagreement after an agreement is flaky", () => {
  const { convergence, states } = run(PAIR, ["200 401", "200 200", "200 401", "200 401", "200 401"]);
  assert.equal(states.at(-1), "settled");
  assert.deepEqual(statuses(convergence), [
    ["passed"],
    ["flaky", "round 2: expected 401 from authentication, got 200 from httpbin, after it had agreed in round 1"],
  ]);
  assert.equal(convergence.outcomes()[1]!.changes.length, 2);
});

test("stale answers of the flush round are recorded, but not judged", () => {
  const { convergence } = run(PAIR, ["200 401", "200 401", "200 401"], { flush: "200 200", inForceMs: 0 });
  const [same, stale] = convergence.outcomes();
  assert.equal(same!.stale, undefined);
  assert.deepEqual([stale!.status, stale!.stale, stale!.changes], ["passed", { status: 200, by: "workload" }, []]);
});

test("gives up at the limit, but not before three rounds, and reports what is wrong", () => {
  const { convergence, states } = run(PAIR, ["200 200", "200 200", "200 200"], { limitMs: 100 });
  assert.deepEqual(states, ["continue", "continue", "gave-up"]);
  assert.deepEqual(statuses(convergence), [
    ["passed"],
    ["failed", "expected 401 from authentication, got 200 from httpbin"],
  ]);
  assert.equal(convergence.outcomes()[1]!.enforcedMs, 300);
});

test("does not give up while rounds agree", () => {
  const { states } = run(PAIR, ["200 200", "200 200", "200 401", "200 401", "200 401"], { limitMs: 250 });
  assert.deepEqual(states, ["continue", "continue", "continue", "continue", "settled"]);
});

test("a check that agreed before it failed reports both", () => {
  const { convergence } = run(PAIR, ["200 401", "200 401", "200 0"], { limitMs: 100 });
  assert.deepEqual(statuses(convergence)[1], [
    "failed",
    "expected 401 from authentication, got no answer; it had agreed in round 1",
  ]);
});

test("a check that agreed too late to be sure of is flaky", () => {
  const { convergence } = run([...PAIR, check("403")], ["200 200 200", "200 200 200", "200 401 200"], { limitMs: 100 });
  assert.deepEqual(statuses(convergence)[1], [
    "flaky",
    "round 2: expected 401 from authentication, got 200 from httpbin, and only the last 1 of 3 agreed",
  ]);
});

test("a denial without an admitted request to the same workload in the same round proves nothing", () => {
  const reason = "no admitted request reached httpbin in this round, so a denial proves nothing";
  const stopped = run(PAIR, ["503 401", "503 401", "503 401"], { limitMs: 100 });
  assert.deepEqual(statuses(stopped.convergence), [
    ["failed", "expected 200 from httpbin, got 503 from a proxy"],
    ["failed", reason],
  ]);

  const elsewhere = run([check("200", "nginx-proxy"), check("401")], ["200 401", "200 401", "200 401"], {
    limitMs: 100,
  });
  assert.deepEqual(statuses(elsewhere.convergence), [["passed"], ["failed", reason]]);

  const ingress = run([check("403", "ingress")], ["403", "403", "403"], { limitMs: 100 });
  assert.match(
    sentences(ingress.convergence.outcomes()[0]!.findings!),
    /reached a workload behind ingress in this round/,
  );
});

test("an admitted request is a witness even if its own answer is not the expected one", () => {
  const { convergence } = run(PAIR, ["500 401", "500 401", "500 401"], { limitMs: 100 });
  assert.deepEqual(statuses(convergence), [["failed", "expected 200 from httpbin, got 500 from httpbin"], ["passed"]]);
});

test("a closed connection needs a witness", () => {
  assert.equal(run([check("200"), check("closed")], Array(3).fill("200 closed")).states.at(-1), "settled");
  const alone = run([check("200"), check("closed")], Array(3).fill("0 closed"), { limitMs: 100 });
  assert.equal(alone.convergence.outcomes()[1]!.status, "failed");
});

test("a workload's own 401 is not a witness unless it is expected", () => {
  const rounds = ["W401 401", "W401 401", "W401 401"];
  assert.equal(run(PAIR, rounds, { limitMs: 100 }).convergence.outcomes()[1]!.status, "failed");
  assert.equal(run([check("W401"), check("401")], rounds).states.at(-1), "settled");
});

test("a workload's own 401 is not authentication", () => {
  const { convergence } = run(PAIR, ["200 W401", "200 W401", "200 W401"], { limitMs: 100 });
  assert.deepEqual(statuses(convergence)[1], ["failed", "expected 401 from authentication, got 401 from httpbin"]);
});

test("a failed or flaky check has each of its wrong answers that counted", () => {
  const wrongOf = (rounds: string[], options?: Partial<ConvergenceOptions>) =>
    run(PAIR, rounds, options)
      .convergence.outcomes()[1]!
      .wrong?.map(({ status, by }) => `${status} ${by}`);
  assert.equal(wrongOf(["200 401", "200 401", "200 401"]), undefined);
  const relapse = ["200 401", "200 200", "200 503", "200 401", "200 401", "200 401"];
  assert.deepEqual(wrongOf(relapse), ["200 workload", "503 proxy"]);
  // Before the config is active an answer comes from the old policy.
  const late = ["200 200", "200 403", "200 401", "200 401", "200 401"];
  assert.deepEqual(wrongOf(late, { inForceMs: 150 }), ["403 authorization"]);
  const failed = ["200 200", "200 200", "200 503"];
  assert.deepEqual(wrongOf(failed, { limitMs: 0, inForceMs: 150 }), ["200 workload", "503 proxy"]);
});
