import { setTimeout as delay } from "node:timers/promises";
import { Writable } from "node:stream";
import { MeshproofError } from "../model/errors.ts";
import type { Kube } from "../mesh/client.ts";
import { messageOf } from "../mesh/api-error.ts";
import { execIn, type ContainerRef } from "../mesh/exec.ts";
import { judgeAnswer, type StreamAnswer, type StreamRecord } from "./verdict.ts";
import type { StreamSpec } from "../model/upgrade.ts";

export interface StreamRequest extends StreamSpec {
  readonly url: string;
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface RunningStream {
  /** How many right answers it got so far; undefined if it broke. */
  right(): number | undefined;
  /**
   * Ends it after the current request has its answer.
   * @param steadyFromMs see {@link StreamRecord}
   */
  stop(steadyFromMs: number): Promise<StreamRecord>;
}

/** Epoch milliseconds, unaffected by changes of the machine's clock since this process started. */
export const steadyNow = (): number => Math.round(performance.timeOrigin + performance.now());

/** A smaller step may come from NTP; a token's times are whole seconds. */
const CLOCK_STEP_MS = 1000;

/** Time limit of a request in seconds. */
const MAX_TIME = 2;
/** A stream that is not stopped ends after this time. */
const LONGEST_SECONDS = 4 * 3600;
/** Longer than a slow machine needs; a stream that takes longer has stopped. */
const STEADY_LIMIT_MS = 60_000;
const FIRST_ANSWER_MS = 20_000;

/**
 * Starts one curl in a pod that sends at a steady rate, each request on a new connection, so that it reaches the pod that
 * serves at that moment. curl numbers the requests, so a missing one is noticed.
 * @throws MeshproofError ERR_PROBE if no answer comes
 */
export async function startStream(kube: Kube, client: ContainerRef, request: StreamRequest): Promise<RunningStream> {
  const ending = new AbortController();
  const answers: StreamAnswer[] = [];
  const clockSteps: { atMs: number; byMs: number }[] = [];
  const startedMs = steadyNow();
  let right = 0;
  // eslint-disable-next-line no-restricted-syntax -- this finds steps of the wall clock
  let clock = Date.now() - startedMs;
  let broken: string | undefined;
  const ended = execIn(kube, client, ["curl", "--config", "-"], {
    stdin: curlConfig(request),
    signal: ending.signal,
    stderr: lines((line) => {
      const now = steadyNow();
      // eslint-disable-next-line no-restricted-syntax -- this finds steps of the wall clock
      const byMs = Date.now() - now - clock;
      clock += byMs;
      if (Math.abs(byMs) > CLOCK_STEP_MS) clockSteps.push({ atMs: now, byMs });
      const answer = readAnswer(line, answers.length, now);
      if (answer === undefined) return void (broken ??= `answer ${answers.length} is missing before ${line}`);
      answers.push(answer);
      if (judgeAnswer(request, answer) === "right") right++;
    }),
  }).then(
    ({ exitCode }) => void (broken ??= `curl ended with ${exitCode}`),
    (error: unknown) => {
      if (!ending.signal.aborted) broken ??= messageOf(error);
    },
  );
  while (answers.length === 0) {
    if (broken !== undefined || steadyNow() > startedMs + FIRST_ANSWER_MS)
      throw new MeshproofError("ERR_PROBE", `the stream "${request.name}" gets no answers: ${broken ?? "silence"}`);
    await delay(50);
  }
  const { name, expected, perSecond } = request;
  return {
    right: () => (broken === undefined ? right : undefined),
    async stop(steadyFromMs) {
      const endedMs = steadyNow();
      ending.abort();
      await ended;
      // The time to connect to the pod does not count.
      const first = answers[0]?.atMs ?? startedMs;
      return {
        name,
        expected,
        perSecond,
        startedMs: first,
        endedMs,
        steadyFromMs,
        clockSteps,
        answers: answers.filter(({ atMs }) => atMs <= endedMs),
        ...(broken === undefined ? {} : { broken }),
      };
    },
  };
}

/** Waits, up to a limit, until each stream has `more` additional right answers; the record of one that does not shows it. */
export async function untilRight(streams: readonly RunningStream[], more: number, signal: AbortSignal): Promise<void> {
  const until = steadyNow() + STEADY_LIMIT_MS;
  const wanted = streams.map((stream) => (stream.right() ?? 0) + more);
  const isShort = (stream: RunningStream, index: number): boolean => {
    const right = stream.right();
    return right !== undefined && right < (wanted[index] ?? 0);
  };
  while (steadyNow() < until && streams.some(isShort)) await delay(100, undefined, { signal });
}

/** curl(1): with `%{stderr}` each line is written at once, while standard output is buffered. */
export function curlConfig(
  { url, headers, perSecond }: StreamRequest,
  count = Math.ceil(perSecond * LONGEST_SECONDS),
): string {
  const quote = (text: string): string => `"${text.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
  const options: [string, string?][] = [
    ["silent"],
    ["rate", `${perSecond}/s`],
    ["max-time", `${MAX_TIME}`],
    ["output", "/dev/null"],
    [
      "write-out",
      String.raw`%{stderr}%{url_effective} %{http_code} %{time_total} up=%header{${FROM_UPSTREAM}} %{errormsg}\n`,
    ],
    ["header", "Connection: close"],
    ...headers.map(([name, value]): [string, string] => ["header", `${name}: ${value}`]),
    ["url", `${url}?n=[0-${count - 1}]`],
  ];
  return options
    .map(([name, value]) => {
      if (value === undefined) return name;
      // curl's config syntax has its own escapes for this value.
      return `${name} = ${name === "write-out" ? `"${value}"` : quote(value)}`;
    })
    .join("\n");
}

/** Envoy's router sets it on every upstream response; a proxy's own answers do not have it. */
const FROM_UPSTREAM = "x-envoy-upstream-service-time";

/**
 * Reads a line of curl's output; undefined if it is not that of request `index`.
 * @param now the time of its arrival, right after the answer, by {@link steadyNow}
 */
export function readAnswer(line: string, index: number, now: number): StreamAnswer | undefined {
  const [, number, status, seconds, upstream, error] = /\?n=(\d+) (\d{3}) ([\d.]+) up=(\S*) ?(.*)$/.exec(line) ?? [];
  if (Number(number) !== index) return undefined;
  const totalMs = Math.round(Number(seconds) * 1000);
  const by = upstream !== "" ? "workload" : Number(status) === 0 ? "nobody" : "proxy";
  return { atMs: now - totalMs, status: Number(status), by, totalMs, ...(error ? { error } : {}) };
}

function lines(take: (line: string) => void): Writable {
  let rest = "";
  return new Writable({
    write(chunk: Buffer, _encoding, done): void {
      const parts = (rest + chunk.toString("utf8")).split("\n");
      rest = parts.pop() ?? "";
      for (const line of parts) take(line);
      done();
    },
  });
}
