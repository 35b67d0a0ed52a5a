/**
 * Decides when the answers of a step are final, and the status of each check. A pure state machine: the caller sends the rounds
 * and feeds in their answers.
 *
 * A kept-alive connection between two sidecars answers once more by the old policy after the proxies have the new one. So the
 * first round after a change only flushes these connections: its answers are recorded if they differ, but never judged. From
 * then on every answer counts.
 */

import type { Answer, CheckResult, Status } from "../model/result.ts";
import { isRefusal, type Answerer, type CheckSpec } from "../model/scenario.ts";
import type { CheckFinding, Disagreement } from "../model/finding.ts";
import { nameWay, type Way } from "../model/target.ts";
import { findDisagreement } from "./judge.ts";

export interface ConvergenceOptions {
  readonly checks: readonly Pick<CheckSpec, "expect" | "request">[];
  /** How many rounds in a row must agree. */
  readonly rounds: number;
  /** After this time, from the end of `apply`, a round that disagrees ends the step. There are always at least `rounds` rounds. */
  readonly limitMs: number;
  /** When every involved proxy's own config had the change, from the end of `apply`; undefined if that is not known. */
  readonly inForceMs?: number;
}

/** One answer per check, in the order of the checks. */
export interface Round {
  /** The end of the round, from the end of `apply`. */
  readonly atMs: number;
  readonly answers: readonly Answer[];
}

export type ConvergenceState = "continue" | "settled" | "gave-up";

/** The outcome of one check. `status` is passed, failed or flaky. */
export interface CheckOutcome extends Pick<
  CheckResult,
  "got" | "enforcedMs" | "changes" | "wrong" | "findings" | "stale"
> {
  readonly status: Extract<Status, "passed" | "failed" | "flaky">;
}

export interface Convergence {
  /** Records the flush round; at most once, before the others. */
  flush(answers: readonly Answer[]): void;
  add(round: Round): ConvergenceState;
  /** One outcome per check; after at least one round. */
  outcomes(): CheckOutcome[];
}

/** The answer of one check in one round. */
interface Sighting {
  readonly round: number;
  readonly atMs: number;
  readonly answer: Answer;
  /** The disagreement; undefined if it agrees. */
  readonly wrong: Disagreement | undefined;
}

/** Creates the state machine of a step. */
export function startConvergence({ checks, rounds, limitMs, inForceMs }: ConvergenceOptions): Convergence {
  const histories: Sighting[][] = checks.map(() => []);
  let flushed: readonly Answer[] = [];
  let count = 0;
  let agreeing = 0;
  return {
    flush(answers) {
      flushed = answers;
    },
    add({ atMs, answers }) {
      count++;
      const witnessed = findWitnessed(checks, answers);
      for (const [index, { expect, request }] of checks.entries()) {
        const answer = answers[index]!;
        const wrong = findDisagreement(expect, answer, request.to) ?? findMissingWitness(expect.by, request, witnessed);
        histories[index]!.push({ round: count, atMs, answer, wrong });
      }
      agreeing = histories.every((history) => history.at(-1)!.wrong === undefined) ? agreeing + 1 : 0;
      if (agreeing >= rounds) return "settled";
      return agreeing === 0 && count >= rounds && atMs >= limitMs ? "gave-up" : "continue";
    },
    outcomes: () => histories.map((history, index) => judge(history, rounds, inForceMs, flushed[index])),
  };
}

/**
 * The ways on which a workload admitted a request in this round. A workload's own 401 or 403 counts only if a check expects it: it could
 * be a denial whose origin is not visible.
 */
function findWitnessed(checks: ConvergenceOptions["checks"], answers: readonly Answer[]): ReadonlySet<string> {
  const admitted = checks.filter(({ expect }, index) => {
    const { by, status } = answers[index]!;
    return (
      by === "workload" &&
      ((status !== 401 && status !== 403) || (expect.by === "workload" && expect.status === status))
    );
  });
  return new Set(admitted.map(({ request }) => nameWay(request)));
}

function findMissingWitness(by: Answerer, way: Way, witnessed: ReadonlySet<string>): Disagreement | undefined {
  if (!isRefusal(by) || witnessed.has(nameWay(way))) return undefined;
  const { to, through } = way;
  return { kind: "no-witness", to, ...(through !== undefined && { through }) };
}

/** A check's outcome from all its answers. */
function judge(
  history: readonly Sighting[],
  rounds: number,
  inForceMs: number | undefined,
  flushed: Answer | undefined,
): CheckOutcome {
  const last = history.at(-1)!;
  const lastWrong = history.findLastIndex(({ wrong }) => wrong !== undefined);
  const run = history.slice(lastWrong + 1);
  const stale =
    flushed !== undefined && differs(flushed, last.answer) ? { stale: { status: flushed.status, by: flushed.by } } : {};
  return {
    got: last.answer,
    enforcedMs: (run[0] ?? last).atMs,
    changes: history
      .filter(({ answer }, index) => index > 0 && differs(answer, history[index - 1]!.answer))
      .map(({ round, atMs, answer }) => ({ round, atMs, status: answer.status, by: answer.by })),
    ...stale,
    ...wrongOf(history, decide(history, run.length, rounds, inForceMs), inForceMs),
  };
}

/** Adds the wrong answers that count: those after the config was active or after an agreement (if there are none, all), and the last. */
function wrongOf(
  history: readonly Sighting[],
  decided: Pick<CheckOutcome, "status" | "findings">,
  inForceMs: number | undefined,
): Pick<CheckOutcome, "status" | "findings" | "wrong"> {
  if (decided.status === "passed") return decided;
  const first = history.findIndex(({ wrong }) => wrong === undefined);
  const counts = ({ atMs }: Sighting, index: number): boolean =>
    (inForceMs !== undefined && atMs >= inForceMs) || (first !== -1 && index > first) || index === history.length - 1;
  const all = history.filter(({ wrong }) => wrong !== undefined);
  const counted = history.filter((sighting, index) => sighting.wrong !== undefined && counts(sighting, index));
  const kinds = new Map(
    (counted.length > 0 ? counted : all).map(({ answer: { status, by } }) => [`${status} ${by}`, { status, by }]),
  );
  return { ...decided, wrong: [...kinds.values()] };
}

/** @param run how many of the last rounds agreed */
function decide(
  history: readonly Sighting[],
  run: number,
  rounds: number,
  inForceMs: number | undefined,
): Pick<CheckOutcome, "status" | "findings"> {
  const first = history.findIndex(({ wrong }) => wrong === undefined);
  const agreed = history[first];
  const flaky = ({ round, wrong }: Sighting, although: Although) =>
    ({ status: "flaky", findings: [{ kind: "inconsistent", round, wrong: wrong!, although }] }) as const;
  if (run === 0) {
    const before = agreed === undefined ? [] : [{ kind: "agreed-before", round: agreed.round } as const];
    return { status: "failed", findings: [history.at(-1)!.wrong!, ...before] };
  }
  const relapse = history.slice(first).find(({ wrong }) => wrong !== undefined);
  if (relapse !== undefined) return flaky(relapse, { kind: "agreed", round: agreed!.round });
  const late = history.slice(0, first).find(({ atMs }) => inForceMs !== undefined && atMs >= inForceMs);
  if (late !== undefined) return flaky(late, { kind: "in-force" });
  if (run < rounds && first > 0)
    return flaky(history[first - 1]!, { kind: "unsettled", agreeing: run, rounds: history.length });
  return { status: "passed" };
}

type Although = Extract<CheckFinding, { kind: "inconsistent" }>["although"];

function differs(a: Answer, b: Answer): boolean {
  return a.status !== b.status || a.by !== b.by;
}
