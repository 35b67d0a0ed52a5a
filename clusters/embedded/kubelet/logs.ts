import { EventEmitter } from "node:events";
import { closeSync, mkdirSync, openSync, readFileSync, renameSync, rmSync, writeSync } from "node:fs";
import { formatLine, type LogLine, parseLine, type Stream } from "./log-lines.ts";

/** A container keeps up to twice this for each of its last two runs: a current file and a rotated one. */
const FILE_BYTES = 8 * 2 ** 20;
/** Longer lines are stored in pieces, as CRI runtimes do. */
const LINE_BYTES = 16 * 2 ** 10;

/** The output of one run of a container, in CRI log form. */
export class RunLog {
  readonly #file: string;
  readonly #events = new EventEmitter<{ line: [LogLine]; chunk: [Stream, Buffer]; end: [] }>().setMaxListeners(0);
  readonly #rest: Record<Stream, Buffer> = { stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) };
  #fd: number;
  #bytes = 0;
  #ended = false;

  constructor(file: string) {
    this.#file = file;
    this.#fd = openSync(file, "a", 0o600);
  }

  append(stream: Stream, chunk: Buffer): void {
    this.#events.emit("chunk", stream, chunk);
    let data = this.#rest[stream].length ? Buffer.concat([this.#rest[stream], chunk]) : chunk;
    const time = timestamp();
    for (let end = data.indexOf(10); end >= 0; end = data.indexOf(10)) {
      this.#write({ time, stream, partial: false, text: data.subarray(0, end) });
      data = data.subarray(end + 1);
    }
    for (; data.length > LINE_BYTES; data = data.subarray(LINE_BYTES))
      this.#write({ time, stream, partial: true, text: data.subarray(0, LINE_BYTES) });
    this.#rest[stream] = data;
  }

  end(): void {
    if (this.#ended) return;
    for (const stream of ["stdout", "stderr"] as const)
      if (this.#rest[stream].length)
        this.#write({ time: timestamp(), stream, partial: true, text: this.#rest[stream] });
    this.#ended = true;
    closeSync(this.#fd);
    this.#events.emit("end");
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Everything kept so far. */
  read(): LogLine[] {
    return [`${this.#file}.1`, this.#file].flatMap((file) => {
      let data: Buffer;
      try {
        data = readFileSync(file);
      } catch {
        return [];
      }
      const lines: LogLine[] = [];
      for (let start = 0, end: number; (end = data.indexOf(10, start)) >= 0; start = end + 1)
        lines.push(parseLine(data.subarray(start, end)));
      return lines;
    });
  }

  /** Calls back for every line from now on, and at the end; gives a function that stops it. */
  follow(onLine: (line: LogLine) => void, onEnd: () => void): () => void {
    if (this.#ended) {
      onEnd();
      return () => undefined;
    }
    this.#events.on("line", onLine).once("end", onEnd);
    return () => this.#events.off("line", onLine).off("end", onEnd);
  }

  /** Calls back for the output as it comes, whole lines or not; gives a function that stops it. */
  tap(onChunk: (stream: Stream, chunk: Buffer) => void): () => void {
    this.#events.on("chunk", onChunk);
    return () => this.#events.off("chunk", onChunk);
  }

  remove(): void {
    this.end();
    rmSync(this.#file, { force: true });
    rmSync(`${this.#file}.1`, { force: true });
  }

  #write(line: LogLine): void {
    if (this.#ended) return;
    const data = formatLine(line);
    if (this.#bytes + data.length > FILE_BYTES) {
      closeSync(this.#fd);
      renameSync(this.#file, `${this.#file}.1`);
      this.#fd = openSync(this.#file, "a", 0o600);
      this.#bytes = 0;
    }
    this.#bytes += writeSync(this.#fd, data);
    this.#events.emit("line", line);
  }
}

/** The logs of a container's current and previous run. */
export class ContainerLogs {
  readonly #dir: string;
  #count = 0;
  #current: RunLog | undefined;
  #previous: RunLog | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    mkdirSync(dir, { recursive: true });
  }

  startRun(): RunLog {
    this.#previous?.remove();
    this.#previous = this.#current;
    this.#previous?.end();
    this.#current = new RunLog(`${this.#dir}/${this.#count++}.log`);
    return this.#current;
  }

  get(previous: boolean): RunLog | undefined {
    return previous ? this.#previous : this.#current;
  }
}

let lastTime = 0;

/** RFC 3339 with nanoseconds, strictly growing so that lines keep their order when sorted. */
function timestamp(): string {
  lastTime = Math.max(performance.timeOrigin + performance.now(), lastTime + 1e-3);
  const whole = Math.floor(lastTime);
  const nanoseconds = Math.floor((lastTime - whole) * 1e6);
  return `${new Date(whole).toISOString().slice(0, -1)}${String(nanoseconds).padStart(6, "0")}Z`;
}
