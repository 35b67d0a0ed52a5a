/** What streams of requests saw while something was changed: whether anything that must be refused was let through, and what was not answered. Pure. */

/** One request of a stream. */
export interface StreamAnswer {
  /** When it was sent, epoch milliseconds of a clock that nobody sets. */
  readonly atMs: number;
  /** 0 where no answer came. */
  readonly status: number;
  /** The proxy that was asked, or whatever stands behind it: then the proxy let the request through. */
  readonly by: "proxy" | "workload" | "nobody";
  readonly totalMs: number;
  /** curl's words where no answer came, or not all of it. */
  readonly error?: string;
}

/** What a stream sends and what it must get. */
export interface StreamSpec {
  /** For people: `gateway, no token`. */
  readonly name: string;
  /** The one status that is right: 2xx of the workload, any other of the proxy. */
  readonly expected: number;
  /** Requests per second, sent one after the other; a slow answer delays the next. */
  readonly perSecond: number;
}

/** What a stream got, as it was gathered. */
export interface StreamRecord extends StreamSpec {
  readonly startedMs: number;
  readonly endedMs: number;
  /** From when on {@link STEADY} right answers were waited for, after which it ended. */
  readonly steadyFromMs: number;
  readonly answers: readonly StreamAnswer[];
  /** When the machine's clock was set, and by how much. */
  readonly clockSteps: readonly { readonly atMs: number; readonly byMs: number }[];
  /** How its client ended, where nobody ended it. */
  readonly broken?: string;
}

/** A part of the change, until the next one begins. */
export interface Phase {
  readonly name: string;
  readonly fromMs: number;
}

/** Wrong answers of one kind, none right in between. */
export interface Incident {
  readonly phase: string;
  readonly fromMs: number;
  readonly toMs: number;
  readonly count: number;
  readonly status: number;
  readonly by: StreamAnswer["by"];
  readonly error?: string;
}

/** Why a stream's counts prove nothing. */
export type StreamProblem =
  | { readonly kind: "broken"; readonly words: string }
  /** Phases that it lived through without one right answer. */
  | { readonly kind: "phases"; readonly phases: readonly string[] }
  | { readonly kind: "gap"; readonly gap: Gap }
  | { readonly kind: "few"; readonly right: number; readonly due: number; readonly phases: readonly string[] }
  | { readonly kind: "end"; readonly phase: string; readonly right: number }
  | { readonly kind: "clock"; readonly phase: string; readonly byMs: number };

/** A time without a right answer. */
export interface Gap {
  readonly phases: readonly string[];
  readonly fromMs: number;
  readonly forMs: number;
  /** How many requests were sent meanwhile. */
  readonly sent: number;
}

export interface StreamResult extends StreamSpec {
  readonly sent: number;
  /** By the rate, less the time that slow answers took; a request without an answer took time in which nothing was seen. */
  readonly due: number;
  readonly right: number;
  /** What each phase got that it lived through. */
  readonly perPhase: readonly { readonly phase: string; readonly sent: number; readonly right: number }[];
  readonly longestGap: Gap;
  /** Let through although it must be refused: answered 2xx, or by the workload. Each one fails the upgrade. */
  readonly breaches: readonly Incident[];
  /** Not answered as it must be, and not let through. */
  readonly failures: readonly Incident[];
  /** Why its counts mean nothing. */
  readonly problems: readonly StreamProblem[];
}

/** Each stream must have so many right answers before the change and at its end, for a difference to mean something. */
export const STEADY = 20;
/** How late a stream may be in total: the machine is busy meanwhile. */
const LEAST_SHARE = 0.5;
/** So long may a stream be without a right answer: what was let through meanwhile would not be seen. */
const LONGEST_GAP_MS = 5000;
/** In a phase so short, counted in requests, that none may have been due. */
const SHORT_PHASE = 2;

export type AnswerVerdict = "right" | "breach" | "failure";

/** Says what an answer is to its stream. */
export function judgeAnswer(
  { expected }: Pick<StreamSpec, "expected">,
  { status, by, error }: Omit<StreamAnswer, "atMs" | "totalMs">,
): AnswerVerdict {
  const admitted = isAdmitted(expected);
  if (!admitted && (isAdmitted(status) || by === "workload")) return "breach";
  // A gateway may answer 200 itself, and a workload 403: who answers is part of what is right.
  return status === expected && by === (admitted ? "workload" : "proxy") && error === undefined ? "right" : "failure";
}

/**
 * Judges one stream.
 * @param isExcused whether an answer to a request that must be admitted is another one for a reason that is known: it counts
 * as a failure, but not as a time in which nothing was seen
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
  /** Whether it shows that the stream and its witness work. */
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
  // From one request to the next: a client that was frozen in the middle of one saw nothing either.
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
  // What the phases say already is not said again.
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

/** Wrong answers in a row, cut where their kind or the phase changes. */
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

/** The phase that had begun at a time. */
export function phaseAt(phases: readonly Phase[], atMs: number): string {
  return phases.findLast(({ fromMs }) => fromMs <= atMs)?.name ?? phases[0]?.name ?? "";
}

/** Phases with more than so much of a time. */
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
