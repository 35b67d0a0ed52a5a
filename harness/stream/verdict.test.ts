import assert from "node:assert/strict";
import { test } from "node:test";
import { countOfIncidents, judgeStream, phaseAt, type StreamRecord } from "./verdict.ts";

const phases = [
  { name: "before", fromMs: 0 },
  { name: "control plane", fromMs: 2000 },
];
/** Ten a second from 0 to 4 s; `statuses` replaces some by index. */
const record = (expected: number, statuses: Record<number, number> = {}): StreamRecord => ({
  name: "a stream",
  expected,
  perSecond: 10,
  startedMs: 0,
  endedMs: 4000,
  answers: Array.from({ length: 40 }, (_, index) => ({
    atMs: index * 100,
    status: statuses[index] ?? expected,
    totalMs: 5,
  })),
});

test("a stream with right answers only is right", () => {
  const { problem, ...result } = judgeStream(record(403), phases);
  assert.equal(problem, undefined);
  assert.deepEqual({ sent: result.sent, due: result.due, right: result.right }, { sent: 40, due: 40, right: 40 });
  assert.deepEqual([result.breaches, result.failures], [[], []]);
});

test("a single refused request that is let through is a breach, with its time and phase", () => {
  const { breaches, failures } = judgeStream(record(403, { 21: 200 }), phases);
  assert.deepEqual(breaches, [{ phase: "control plane", fromMs: 2100, toMs: 2105, count: 1, status: 200 }]);
  assert.deepEqual(failures, []);
});

test("a refused request that gets no answer, or another refusal, is no breach but a failure", () => {
  const { breaches, failures } = judgeStream(record(401, { 3: 0, 5: 503, 6: 503, 7: 403 }), phases);
  assert.deepEqual(breaches, []);
  assert.deepEqual(
    failures.map(({ status, count }) => [status, count]),
    [
      [0, 1],
      [503, 2],
      [403, 1],
    ],
  );
});

test("an admitted request that is refused or lost is a failure; incidents end with their phase", () => {
  const { breaches, failures } = judgeStream(record(200, { 19: 503, 20: 503 }), phases);
  assert.deepEqual(breaches, []);
  assert.deepEqual(
    failures.map(({ phase }) => phase),
    ["before", "control plane"],
  );
  assert.equal(countOfIncidents(failures), 2);
});

test("a stream that stopped, fell behind or broke proves nothing", () => {
  const whole = record(200);
  const stopped = judgeStream({ ...whole, endedMs: 12_000 }, phases);
  assert.match(stopped.problem ?? "", /nothing for 8\.\d s/);
  const silent = judgeStream({ ...whole, answers: [], endedMs: 6000 }, phases);
  assert.match(silent.problem ?? "", /nothing for 6\.0 s/);
  const paused = judgeStream(
    { ...whole, answers: whole.answers.map((a, i) => ({ ...a, atMs: a.atMs + (i > 20 ? 7000 : 0) })), endedMs: 11_000 },
    phases,
  );
  assert.match(paused.problem ?? "", /nothing for 7\.\d s/);
  const slow = judgeStream({ ...whole, answers: whole.answers.filter((_, index) => index % 3 === 0) }, phases);
  assert.match(slow.problem ?? "", /14 requests where 40 were due/);
  assert.match(judgeStream({ ...whole, broken: "exit 7" }, phases).problem ?? "", /exit 7/);
});

test("slow answers delay the next request, which is no fault of the stream", () => {
  const whole = record(200);
  const answers = [...whole.answers.slice(0, 20), { atMs: 2000, status: 0, totalMs: 2000, error: "timed out" }];
  const result = judgeStream({ ...whole, answers }, phases);
  assert.equal(result.problem, undefined);
  assert.equal(result.due, 21);
});

test("a phase lasts until the next", () => {
  assert.deepEqual(
    [1999, 2000, 9999].map((at) => phaseAt(phases, at)),
    ["before", "control plane", "control plane"],
  );
});
