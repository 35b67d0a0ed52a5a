export type Stream = "stdout" | "stderr";

export interface LogLine {
  /** RFC 3339 with nanoseconds, UTC. */
  readonly time: string;
  readonly stream: Stream;
  /** A piece of a long line; the next line goes on. */
  readonly partial: boolean;
  /** Without the newline. */
  readonly text: Buffer;
}

/** CRI log form: `2026-01-01T00:00:00.000000000Z stdout F text`. */
export function formatLine({ time, stream, partial, text }: LogLine): Buffer {
  return Buffer.concat([Buffer.from(`${time} ${stream} ${partial ? "P" : "F"} `), text, Buffer.from("\n")]);
}

/** @param line without its newline */
export function parseLine(line: Buffer): LogLine {
  const afterTime = line.indexOf(32);
  const afterStream = line.indexOf(32, afterTime + 1);
  return {
    time: line.toString("latin1", 0, afterTime),
    stream: line.toString("latin1", afterTime + 1, afterStream) as Stream,
    partial: line[afterStream + 1] === 80,
    text: line.subarray(afterStream + 3),
  };
}

/** The options of `v1.PodLogOptions` that select lines. */
export interface LogQuery {
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly tailLines?: number;
  /** RFC 3339 without its `Z`, so that it compares with a more precise time; later lines only. */
  readonly since?: string;
  readonly limitBytes?: number;
  readonly stream?: Stream;
}

/**
 * Reads the query of `/containerLogs`.
 * @param now for `sinceSeconds`
 * @throws RangeError if a number or time is invalid.
 */
export function parseLogQuery(query: URLSearchParams, now: Date): LogQuery {
  const integer = (name: string): number | undefined => {
    const text = query.get(name);
    if (text === null || text === "") return undefined;
    if (!/^\d+$/.test(text)) throw new RangeError(`${name} must be a number and not negative, not "${text}"`);
    return Number(text);
  };
  const flag = (name: string): boolean => ["true", "1"].includes(query.get(name) ?? "");
  const sinceSeconds = integer("sinceSeconds");
  const sinceTime = query.get("sinceTime");
  const since = sinceTime
    ? new Date(sinceTime)
    : sinceSeconds === undefined
      ? undefined
      : new Date(now.getTime() - sinceSeconds * 1000);
  if (since && Number.isNaN(since.getTime()))
    throw new RangeError(`sinceTime must be a time as in RFC 3339, not "${sinceTime}"`);
  const tailLines = integer("tailLines");
  const limitBytes = integer("limitBytes");
  const stream = query.get("stream")?.toLowerCase();
  return {
    follow: flag("follow"),
    previous: flag("previous"),
    timestamps: flag("timestamps"),
    ...(tailLines === undefined ? {} : { tailLines }),
    ...(since ? { since: since.toISOString().slice(0, -1) } : {}),
    ...(limitBytes === undefined ? {} : { limitBytes }),
    ...(stream === "stdout" || stream === "stderr" ? { stream } : {}),
  };
}

/** The kept lines that a query asks for: by stream and time first, then the last N. */
export function selectLines(lines: readonly LogLine[], query: LogQuery): LogLine[] {
  const matching = lines.filter((line) => matches(line, query));
  if (query.tailLines === undefined) return matching;
  // N whole lines: pieces of a long line count as one.
  let start = matching.length;
  for (let whole = 0; start > 0; start--) {
    if (!matching[start - 1]!.partial || start === matching.length) whole++;
    if (whole > query.tailLines) break;
  }
  return matching.slice(start);
}

export function matches(line: LogLine, query: LogQuery): boolean {
  return (!query.since || line.time >= query.since) && (!query.stream || line.stream === query.stream);
}

/** A line for a client: the text, after its time if requested. */
export function renderLine(line: LogLine, { timestamps }: Pick<LogQuery, "timestamps">): Buffer {
  return Buffer.concat([
    ...(timestamps ? [Buffer.from(`${line.time} `)] : []),
    line.text,
    ...(line.partial ? [] : [Buffer.from("\n")]),
  ]);
}
