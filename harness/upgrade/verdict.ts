/** Judges streams of requests during a change: whether a request that must be denied was admitted, and which got no right answer. Pure. */

import type { Gap, Incident, StreamProblem, StreamResult, StreamSpec } from "../model/upgrade.ts";

/** One request of a stream. */
export interface StreamAnswer {
  /** When it was sent, in epoch milliseconds of a steady clock. */
  readonly atMs: number;
  /** 0 if no answer came. */
  readonly status: number;
  /** The proxy itself, or `workload` for anything behind it: then the proxy admitted the request. */
  readonly by: Incident["by"];
  readonly totalMs: number;
  /** curl's error text if no answer came, or not all of it. */
  readonly error?: string;
}

/** The answers of a stream. */
export interface StreamRecord extends StreamSpec {
  readonly startedMs: number;
  readonly endedMs: number;
  /** The time from which the stream waited for {@link STEADY} right answers before it ended. */
  readonly steadyFromMs: number;
  readonly answers: readonly StreamAnswer[];
  /** Changes of the machine's clock. */
  readonly clockSteps: readonly { readonly atMs: number; readonly byMs: number }[];
  /** How its client ended, if it ended by itself. */
  readonly broken?: string;
}

/** A part of the change, until the next one starts. */
export interface Phase {
  readonly name: string;
  readonly fromMs: number;
}

/** How many right answers each stream needs before the change and at its end. */
export const STEADY = 20;
/** The least share of the due right answers: the machine is busy during an upgrade. */
const LEAST_SHARE = 0.5;
/** Longest time without a right answer: admitted requests in that time would not be seen. */
const LONGEST_GAP_MS = 5000;
/** A phase is too short to count if less than this many requests were due. */
const SHORT_PHASE = 2;

export type AnswerVerdict = "right" | "breach" | "failure";

/** Classifies one answer of a stream. */
export function judgeAnswer(
  { expected }: Pick<StreamSpec, "expected">,
  { status, by, error }: Omit<StreamAnswer, "atMs" | "totalMs">,
): AnswerVerdict {
  const admitted = isAdmitted(expected);
  if (!admitted && (isAdmitted(status) || by === "workload")) return "breach";
  // A gateway may answer 200 itself, and a workload 403, so who answers counts too.
  return status === expected && by === (admitted ? "workload" : "proxy") && error === undefined ? "right" : "failure";
}

/**
 * Judges one stream.
 * @param isExcused whether a denial of a request that must be admitted has a known reason: it counts as a failure, but not as a
 * gap
 */
export function judgeStream(
  record: StreamRecord,
  phases: readonly Phase[],
  isExcused: (phase: string, status: number) => boolean = () => false,
): StreamResult {
  const { name, expected, perSecond, answers } = record;
  const all = answers.map((answer) => {
    const [phase, verdict] = [phaseAt(phases, answer.atMs), judgeAnswer(record, answer)];
    const seen = verdict === "right" || (isAdmitted(expected) && isExcused(phase, answer.status));
    return { ...answer, phase, verdict, seen };
  });
  const right = all.filter(({ verdict }) => verdict === "right");
  const perPhase = phasesBetween(phases, record.startedMs, record.endedMs, SHORT_PHASE * periodOf(record)).map(
    (phase) => ({
      phase,
      sent: all.filter((answer) => answer.phase === phase).length,
      right: right.filter((answer) => answer.phase === phase).length,
    }),
  );
  const result = {
    name,
    expected,
    perSecond,
    sent: answers.length,
    due: dueOf(record),
    right: right.length,
    perPhase,
    longestGap: longestGapOf(record, all, phases),
    breaches: incidentsOf(all, "breach"),
    failures: incidentsOf(all, "failure"),
  };
  return { ...result, problems: problemsOf(record, result, all, phases) };
}

interface Judged extends StreamAnswer {
  readonly phase: string;
  readonly verdict: AnswerVerdict;
  /** Whether the answer shows that the stream and its witness work. */
  readonly seen: boolean;
}

const isAdmitted = (status: number): boolean => status >= 200 && status < 300;

const periodOf = ({ perSecond }: StreamSpec): number => 1000 / perSecond;

function dueOf(record: StreamRecord): number {
  const { startedMs, endedMs, answers } = record;
  const period = periodOf(record);
  const answered = answers.filter(({ status }) => status !== 0);
  const slow = answered.reduce((sum, { totalMs }) => sum + Math.max(0, totalMs - period), 0);
  return Math.max(1, Math.floor((endedMs - startedMs - slow) / period));
}

function longestGapOf(record: StreamRecord, answers: readonly Judged[], phases: readonly Phase[]): Gap {
  const { startedMs, endedMs } = record;
  const seen = answers.filter((answer) => answer.seen);
  // Measured from request to request: a client that was frozen during a request saw nothing either.
  const times = [startedMs, ...seen.map(({ atMs }) => atMs), endedMs];
  const gaps = times
    .slice(1)
    .map((toMs, index) => ({ fromMs: times[index] ?? toMs, forMs: toMs - (times[index] ?? toMs) }));
  const { fromMs, forMs } = gaps.reduce((longest, gap) => (gap.forMs > longest.forMs ? gap : longest));
  const until = fromMs + forMs;
  return {
    phases: phasesBetween(phases, fromMs, until, periodOf(record)),
    fromMs,
    forMs,
    sent: answers.filter(({ atMs }) => atMs > fromMs && atMs < until).length,
  };
}

function problemsOf(
  record: StreamRecord,
  { due, perPhase, longestGap: gap }: Pick<StreamResult, "due" | "perPhase" | "longestGap">,
  answers: readonly Judged[],
  phases: readonly Phase[],
): StreamProblem[] {
  const { broken, steadyFromMs, clockSteps } = record;
  const problems: StreamProblem[] = clockSteps.map(({ atMs, byMs }) => ({
    kind: "clock",
    phase: phaseAt(phases, atMs),
    byMs,
  }));
  if (broken !== undefined) problems.push({ kind: "broken", words: broken });
  const unseen = perPhase.filter(({ right }) => right === 0).map(({ phase }) => phase);
  if (unseen.length > 0) problems.push({ kind: "phases", phases: unseen });
  // Do not repeat what the phases show already.
  const isNew = gap.phases.every((phase) => !unseen.includes(phase));
  if (gap.forMs > LONGEST_GAP_MS && isNew) problems.push({ kind: "gap", gap });
  const atEnd = answers.filter(({ atMs, verdict }) => verdict === "right" && atMs >= steadyFromMs).length;
  const last = phaseAt(phases, steadyFromMs);
  if (atEnd < STEADY && !unseen.includes(last)) problems.push({ kind: "end", phase: last, right: atEnd });
  const seen = answers.filter((answer) => answer.seen).length;
  if (seen < due * LEAST_SHARE && problems.length === 0) {
    const poor = perPhase.filter(({ sent, right }) => right < sent * LEAST_SHARE).map(({ phase }) => phase);
    problems.push({ kind: "few", right: seen, due, phases: poor });
  }
  return problems;
}

/** Groups of consecutive wrong answers; a new kind or phase starts a new group. */
function incidentsOf(answers: readonly Judged[], kind: AnswerVerdict): Incident[] {
  const incidents: Incident[] = [];
  let open = false;
  for (const { verdict, atMs, totalMs, status, by, error, phase } of answers) {
    if (verdict !== kind) {
      open = false;
      continue;
    }
    const last = incidents.at(-1);
    if (open && last?.phase === phase && last.status === status && last.by === by && last.error === error)
      incidents[incidents.length - 1] = { ...last, toMs: atMs + totalMs, count: last.count + 1 };
    else
      incidents.push({
        phase,
        fromMs: atMs,
        toMs: atMs + totalMs,
        count: 1,
        status,
        by,
        ...(error === undefined ? {} : { error }),
      });
    open = true;
  }
  return incidents;
}

/** The phase at a time. */
export function phaseAt(phases: readonly Phase[], atMs: number): string {
  return phases.findLast(({ fromMs }) => fromMs <= atMs)?.name ?? phases[0]?.name ?? "";
}

/** Phases that cover more than `moreThanMs` of a time span. */
function phasesBetween(phases: readonly Phase[], fromMs: number, toMs: number, moreThanMs: number): string[] {
  return phases
    .filter((phase, index) => {
      const begin = index === 0 ? fromMs : Math.max(fromMs, phase.fromMs);
      return Math.min(toMs, phases[index + 1]?.fromMs ?? toMs) - begin > moreThanMs;
    })
    .map(({ name }) => name);
}

export const countOfIncidents = (incidents: readonly Incident[]): number =>
  incidents.reduce((sum, { count }) => sum + count, 0);
