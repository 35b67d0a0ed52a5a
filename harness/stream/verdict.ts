/** What streams of requests saw while something was changed: whether anything that must be refused was let through, and what was not answered. Pure. */

/** One request of a stream. */
export interface StreamAnswer {
  /** When it was sent, epoch milliseconds. */
  readonly atMs: number;
  /** 0 where no answer came. */
  readonly status: number;
  readonly totalMs: number;
  /** curl's words where no answer came. */
  readonly error?: string;
}

/** What a stream sends and what it must get. */
export interface StreamSpec {
  /** For people: `gateway, no token`. */
  readonly name: string;
  /** The one status that is right. */
  readonly expected: number;
  /** Requests per second, sent one after the other; a slow answer delays the next. */
  readonly perSecond: number;
}

/** What a stream got, as it was gathered. */
export interface StreamRecord extends StreamSpec {
  readonly startedMs: number;
  readonly endedMs: number;
  readonly answers: readonly StreamAnswer[];
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
  readonly error?: string;
}

export interface StreamResult extends StreamSpec {
  readonly sent: number;
  /** By the rate, less the time that slow answers took. */
  readonly due: number;
  readonly right: number;
  /** Let through although it must be refused (2xx). Each one fails the upgrade. */
  readonly breaches: readonly Incident[];
  /** Not answered as it must be, and not let through. */
  readonly failures: readonly Incident[];
  /** Why its counts mean nothing. */
  readonly problem?: string;
}

/** How late a stream may be in total (the least share of what is due) and at once: the machine is busy meanwhile. */
const LEAST_SHARE = 0.5;
const LONGEST_SILENCE_MS = 5000;

/** Judges one stream; refused means that its expected status is no 2xx. */
export function judgeStream(record: StreamRecord, phases: readonly Phase[]): StreamResult {
  const { name, expected, perSecond, answers } = record;
  const refused = !isAdmitted(expected);
  const wrong = answers.filter(({ status }) => status !== expected);
  const breach = ({ status }: StreamAnswer): boolean => refused && isAdmitted(status);
  const due = dueOf(record);
  const problem = problemOf(record, due);
  return {
    name,
    expected,
    perSecond,
    sent: answers.length,
    due,
    right: answers.length - wrong.length,
    breaches: incidentsOf(answers, breach, phases),
    failures: incidentsOf(answers, (answer) => answer.status !== expected && !breach(answer), phases),
    ...(problem === undefined ? {} : { problem }),
  };
}

const isAdmitted = (status: number): boolean => status >= 200 && status < 300;

function dueOf({ startedMs, endedMs, perSecond, answers }: StreamRecord): number {
  const period = 1000 / perSecond;
  const slow = answers.reduce((sum, { totalMs }) => sum + Math.max(0, totalMs - period), 0);
  return Math.max(1, Math.floor((endedMs - startedMs - slow) / period));
}

function problemOf(record: StreamRecord, due: number): string | undefined {
  const { answers, broken, startedMs, endedMs } = record;
  if (broken !== undefined) return `its client ended: ${broken}`;
  const times = [startedMs, ...answers.flatMap(({ atMs, totalMs }) => [atMs, atMs + totalMs]), endedMs];
  const silence = Math.max(0, ...times.slice(1).map((at, index) => (index % 2 === 0 ? at - (times[index] ?? at) : 0)));
  if (silence > LONGEST_SILENCE_MS) return `it sent nothing for ${(silence / 1000).toFixed(1)} s`;
  if (answers.length < due * LEAST_SHARE) return `it sent ${answers.length} requests where ${due} were due`;
  return undefined;
}

/** Wrong answers in a row, cut where their kind or the phase changes. */
function incidentsOf(
  answers: readonly StreamAnswer[],
  isWrong: (answer: StreamAnswer) => boolean,
  phases: readonly Phase[],
): Incident[] {
  const incidents: Incident[] = [];
  let open = false;
  for (const answer of answers) {
    if (!isWrong(answer)) {
      open = false;
      continue;
    }
    const { atMs, totalMs, status, error } = answer;
    const phase = phaseAt(phases, atMs);
    const last = incidents.at(-1);
    if (open && last?.phase === phase && last.status === status && last.error === error)
      incidents[incidents.length - 1] = { ...last, toMs: atMs + totalMs, count: last.count + 1 };
    else
      incidents.push({
        ...{ phase, fromMs: atMs, toMs: atMs + totalMs, count: 1, status },
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

export const countOfIncidents = (incidents: readonly Incident[]): number =>
  incidents.reduce((sum, { count }) => sum + count, 0);
