import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { complaintsOf, isRefusedByScenario, upgradeExitCode } from "./upgrade.ts";
import type { UpgradeResult } from "../model/upgrade.ts";
import {
  countOfIncidents,
  judgeAnswer,
  judgeStream,
  phaseAt,
  type StreamAnswer,
  type StreamRecord,
} from "./verdict.ts";

const phases = [
  { name: "before", fromMs: 0 },
  { name: "control plane", fromMs: 2000 },
];
type Answer = Pick<StreamAnswer, "status" | "by">;
const from = {
  proxy: (status: number): Answer => ({ status, by: "proxy" }),
  workload: (status: number): Answer => ({ status, by: "workload" }),
  nobody: { status: 0, by: "nobody" } as Answer,
};
const rightFor = (expected: number): Answer => (expected < 300 ? from.workload(expected) : from.proxy(expected));
/** Ten answers per second from 0 to 4 s; `other` replaces some by index. */
const record = (expected: number, other: Record<number, Answer> = {}): StreamRecord => ({
  ...{ name: "a stream", expected, perSecond: 10, startedMs: 0, endedMs: 4000, steadyFromMs: 1900, clockSteps: [] },
  answers: Array.from({ length: 40 }, (_, index) => ({
    ...(other[index] ?? rightFor(expected)),
    ...{ atMs: index * 100, totalMs: 5 },
  })),
});

test("a stream with only right answers is right", () => {
  const result = judgeStream(record(403), phases);
  assert.deepEqual({ sent: result.sent, due: result.due, right: result.right }, { sent: 40, due: 40, right: 40 });
  assert.deepEqual([result.breaches, result.failures, result.problems], [[], [], []]);
  assert.deepEqual(result.perPhase, [
    { phase: "before", sent: 20, right: 20 },
    { phase: "control plane", sent: 20, right: 20 },
  ]);
});

test("a single admitted request that must be denied is a breach, with its time and phase", () => {
  const { breaches, failures } = judgeStream(record(403, { 21: from.workload(200) }), phases);
  const [place] = [{ phase: "control plane", fromMs: 2100, toMs: 2105 }];
  assert.deepEqual(breaches, [{ ...place, count: 1, status: 200, by: "workload" }]);
  assert.deepEqual(failures, []);
});

test("any answer of the workload to a request that must be denied is a breach", () => {
  for (const status of [200, 302, 403, 404, 500, 503])
    assert.equal(judgeAnswer({ expected: 403 }, from.workload(status)), "breach", `${status}`);
  assert.equal(judgeAnswer({ expected: 403 }, from.proxy(200)), "breach");
  assert.equal(judgeAnswer({ expected: 403 }, { ...from.workload(0), error: "connection reset" }), "breach");
});

test("the right status from the wrong place is not a right answer", () => {
  for (const status of [302, 404, 429, 500, 503]) {
    assert.equal(judgeAnswer({ expected: 403 }, from.proxy(status)), "failure", `${status}`);
    assert.equal(judgeAnswer({ expected: 200 }, from.proxy(status)), "failure", `${status}`);
  }
  assert.equal(judgeAnswer({ expected: 200 }, from.proxy(200)), "failure", "a gateway's own answer");
  assert.equal(judgeAnswer({ expected: 200 }, { ...from.workload(200), error: "cut off" }), "failure");
});

test("a request that must be denied and gets no answer, or another denial, is a failure, not a breach", () => {
  const other = { 3: from.nobody, 5: from.proxy(503), 6: from.proxy(503), 7: from.proxy(403) };
  const { breaches, failures } = judgeStream(record(401, other), phases);
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

test("a request that must be admitted and is denied or lost is a failure; incidents end with their phase", () => {
  const { breaches, failures } = judgeStream(record(200, { 19: from.proxy(503), 20: from.proxy(503) }), phases);
  assert.deepEqual(breaches, []);
  assert.deepEqual(
    failures.map(({ phase }) => phase),
    ["before", "control plane"],
  );
  assert.equal(countOfIncidents(failures), 2);
});

const kindsOf = (streamed: StreamRecord): string[] => judgeStream(streamed, phases).problems.map(({ kind }) => kind);

test("a stream that stopped, fell behind or broke proves nothing", () => {
  const whole = record(200);
  assert.deepEqual(kindsOf({ ...whole, endedMs: 12_000 }), ["gap"]);
  assert.deepEqual(kindsOf({ ...whole, answers: [], endedMs: 6000 }), ["phases"]);
  const paused = whole.answers.map((a, i) => ({ ...a, atMs: a.atMs + (i > 25 ? 7000 : 0) }));
  const { problems } = judgeStream({ ...whole, answers: paused, endedMs: 11_000 }, phases);
  assert.deepEqual(problems, [{ kind: "gap", gap: { phases: ["control plane"], fromMs: 2500, forMs: 7100, sent: 0 } }]);
  const slow = { ...whole, steadyFromMs: 0, answers: [...whole.answers.slice(0, 22)], endedMs: 4900 };
  const few = judgeStream(slow, phases).problems;
  assert.deepEqual(few, [{ kind: "few", right: 22, due: 49, phases: [] }]);
  assert.deepEqual(kindsOf({ ...whole, broken: "exit 7" }), ["broken"]);
  // Frozen between sending and reading the answer.
  const frozen = whole.answers.map((a, i) => ({
    ...a,
    ...(i > 25 && { atMs: a.atMs + 7000 }),
    ...(i === 25 && { totalMs: 7000 }),
  }));
  assert.deepEqual(kindsOf({ ...whole, answers: frozen, endedMs: 11_000 }), ["gap"]);
});

test("slow answers delay the next request, which is not the stream's fault; answers that never come prove nothing", () => {
  const whole = record(200);
  const last = { atMs: 2000, totalMs: 2000 };
  const slow = judgeStream(
    { ...whole, answers: [...whole.answers.slice(0, 20), { ...from.workload(200), ...last }] },
    phases,
  );
  assert.equal(slow.due, 21);
  const none = { ...from.nobody, ...last, error: "timed out" };
  const answers = [...whole.answers.slice(0, 20), none];
  const lost = judgeStream({ ...whole, answers, steadyFromMs: 2100 }, phases);
  assert.equal(lost.due, 40);
  assert.deepEqual(lost.problems, [{ kind: "phases", phases: ["control plane"] }]);
});

test("each stream ends with enough right answers", () => {
  const late = judgeStream({ ...record(403), steadyFromMs: 3000 }, phases);
  assert.deepEqual(late.problems, [{ kind: "end", phase: "control plane", right: 10 }]);
});

test("denials by a scenario's mesh-wide policy do not count as a gap", () => {
  const run = [{ name: "first run", fromMs: 0 }];
  const refused = Object.fromEntries(Array.from({ length: 80 }, (_, index) => [index + 10, from.proxy(403)]));
  const answers = Array.from({ length: 120 }, (_, index) => ({
    ...(refused[index] ?? from.workload(200)),
    ...{ atMs: index * 100, totalMs: 5 },
  }));
  const streamed = { ...record(200), answers, endedMs: 12_000, steadyFromMs: 9000 };
  const meshWide = { meshWide: ["authz/allow-nothing-in-mesh"] };
  const excused = judgeStream(streamed, run, (phase, status) => isRefusedByScenario(meshWide, { phase, status }));
  assert.deepEqual(excused.problems, []);
  assert.deepEqual(
    judgeStream(streamed, run).problems.map(({ kind }) => kind),
    ["gap"],
  );
});

test("a phase lasts until the next", () => {
  assert.deepEqual(
    [1999, 2000, 9999].map((at) => phaseAt(phases, at)),
    ["before", "control plane", "control plane"],
  );
});

/** An upgrade of five minutes with nine streams, like a real one, and the effect of each fault on their answers. */
describe("a fault during an upgrade", () => {
  const names = ["first run", "before", "control plane", "gateway", "workloads", "after", "second run"];
  const begins = [0, 60, 62, 90, 110, 150, 153, 300];
  const timeline = names.map((name, index) => ({ name, fromMs: (begins[index] ?? 0) * 1000 }));
  const PLACES = ["sidecar", "gateway", "ingress gateway"] as const;

  type Timed = Answer & { readonly ms?: number };
  interface Fault {
    /** A wrong answer, by place, expected status, time and the request's number. */
    readonly answer?: (place: string, expected: number, atMs: number, n: number) => Timed | undefined;
    /** The time in which this stream's client sends nothing. */
    readonly frozen?: readonly [place: string, expected: number, fromMs: number, toMs: number];
    readonly clockSteps?: StreamRecord["clockSteps"];
  }

  function upgradeWith({ answer, frozen, clockSteps = [] }: Fault): UpgradeResult {
    const streams = PLACES.flatMap((place) =>
      [200, 403, 401].map((expected) => {
        const [startedMs, endedMs] = place === "ingress gateway" ? [60_500, 153_000] : [0, 300_000];
        const perSecond = expected === 200 ? 20 : 10;
        const answers: StreamAnswer[] = [];
        const period = 1000 / perSecond;
        for (let atMs = startedMs, n = 0; atMs < endedMs; n++) {
          if (frozen?.[0] === place && frozen[1] === expected && atMs >= frozen[2] && atMs < frozen[3]) {
            atMs = Math.min(frozen[3], endedMs);
            continue;
          }
          const { ms = 6, ...got }: Timed = answer?.(place, expected, atMs, n) ?? rightFor(expected);
          answers.push({ ...got, atMs, totalMs: ms });
          atMs += Math.max(period, ms);
        }
        const steadyFromMs = endedMs - 2500;
        const spec = { name: `${place}, ${expected}`, expected, perSecond };
        return judgeStream({ ...spec, startedMs, endedMs, steadyFromMs, answers, clockSteps }, timeline);
      }),
    );
    return {
      ...{ streams, problems: [], meshWide: [], unexpected: 0, maxUnavailable: { share: 0.01 } },
      ...({ phases: [], checks: {} } as unknown as Pick<UpgradeResult, "phases" | "checks">),
    } as unknown as UpgradeResult;
  }

  const during = (atMs: number, fromMs: number, toMs: number): boolean => atMs >= fromMs && atMs < toMs;
  const fromChange = (atMs: number): boolean => atMs >= 62_000;
  const cases: readonly [what: string, fault: Fault, code: 0 | 1 | 3, ...words: RegExp[]][] = [
    ["nothing", {}, 0],
    [
      "200 ms without policies at a sidecar",
      {
        answer: (place, expected, at) =>
          place === "sidecar" && expected !== 200 && during(at, 100_000, 100_200) ? from.workload(200) : undefined,
      },
      1,
      /^sidecar, 403: 2 requests .* let through \(gateway\)$/,
    ],
    [
      "a workload behind the gateway that answers 404 to requests that must be denied",
      {
        answer: (place, expected, at) =>
          place === "gateway" && expected === 401 && during(at, 120_000, 120_500) ? from.workload(404) : undefined,
      },
      1,
      /^gateway, 401: 5 requests .* let through \(workloads\)$/,
    ],
    [
      "503 for a minute",
      { answer: (_, __, at) => (during(at, 95_000, 155_000) ? from.proxy(503) : undefined) },
      1,
      /^sidecar, 200: it got no right answer in workloads, after: what was refused then proves nothing$/,
      /requests that must be admitted failed \(gateway, workloads, after, second run\), and 1% may/,
    ],
    [
      "503 for six seconds",
      { answer: (place, _, at) => (place === "gateway" && during(at, 200_000, 206_000) ? from.proxy(503) : undefined) },
      3,
      /^gateway, 200: it got no right answer for 6\.\d s \(second run\)$/,
    ],
    [
      "404 for good",
      { answer: (_, __, at) => (fromChange(at) ? from.proxy(404) : undefined) },
      1,
      /^ingress gateway, 200: it got no right answer in control plane, gateway, workloads, after:/,
    ],
    [
      "404 for good only for requests that must be denied",
      {
        answer: (place, expected, at) =>
          place === "gateway" && expected === 403 && fromChange(at) ? from.proxy(404) : undefined,
      },
      3,
      /^gateway, 403: it got no right answer in control plane, gateway, workloads, after, second run/,
    ],
    [
      "302 of the gateway",
      { answer: (place, _, at) => (place === "gateway" && during(at, 90_000, 153_000) ? from.proxy(302) : undefined) },
      1,
      /^gateway, 200: it got no right answer in gateway, workloads, after/,
    ],
    [
      "no answer at all",
      { answer: (_, __, at) => (fromChange(at) ? { ...from.nobody, ms: 2000 } : undefined) },
      1,
      /^sidecar, 403: it got no right answer in control plane, gateway, workloads, after, second run/,
    ],
    [
      "a frozen client",
      { frozen: ["gateway", 403, 112_000, 120_000] },
      3,
      /^gateway, 403: it sent nothing for 8\.\d s \(workloads\)$/,
    ],
    [
      "a client that is frozen for good",
      { frozen: ["sidecar", 401, 112_000, 300_000] },
      3,
      /^sidecar, 401: it got no right answer in after, second run/,
    ],
    [
      "a clock that is set",
      { clockSteps: [{ atMs: 100_000, byMs: -3_600_000 }] },
      3,
      /^sidecar, 200: the machine's clock was set by -3600\.0 s \(gateway\)/,
    ],
    [
      "one of two gateway pods without policies",
      {
        answer: (place, expected, at, n) =>
          place === "ingress gateway" && expected !== 200 && during(at, 91_000, 109_000) && n % 2 === 0
            ? from.workload(200)
            : undefined,
      },
      1,
      /^ingress gateway, 403: 90 requests .* let through \(gateway\)$/,
    ],
    [
      "one of two gateway pods that knows no route",
      {
        answer: (place, _, at, n) =>
          place === "ingress gateway" && fromChange(at) && n % 2 === 0 ? from.proxy(404) : undefined,
      },
      1,
      /requests that must be admitted failed \(control plane, gateway, workloads, after\)/,
    ],
    [
      "a few requests that a restart lost",
      { answer: (_, __, at) => (during(at, 100_000, 100_400) ? from.proxy(503) : undefined) },
      0,
    ],
  ];
  for (const [what, fault, code, ...words] of cases)
    test(`${what}: ${code}`, () => {
      const result = upgradeWith(fault);
      const complaints = complaintsOf(result);
      assert.equal(upgradeExitCode(result), code, complaints.join("\n"));
      if (code === 0) assert.deepEqual(complaints, []);
      for (const pattern of words)
        assert.ok(
          complaints.some((each) => pattern.test(each)),
          `${pattern}:\n${complaints.join("\n")}`,
        );
    });
});
