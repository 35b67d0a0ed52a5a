import { mkdir, readdir, stat, writeFile } from "node:fs/promises";
import path from "node:path";
import { messageOf } from "../mesh/api-error.ts";

/** Limits for one file and for all files of a run, in bytes. */
const FILE_LIMIT = 4 * 1024 * 1024;
const RUN_LIMIT = 64 * 1024 * 1024;
/** Time limit for collecting the diagnostics of one step. */
export const COLLECT_LIMIT_MS = 8_000;

export interface Bundle {
  /**
   * Writes the text that `read` returns to a file; of a long text only the end. Never throws: an error becomes a line in `collected.txt`.
   */
  add(name: string, read: () => Promise<string>): Promise<void>;
  /** Writes `collected.txt`: each file with its size, or why it is missing. */
  close(heading: string): Promise<void>;
}

export interface BundleOptions {
  /** Folder of all diagnostics of the run. */
  readonly root: string;
  /** Folder of this bundle below `root`, with `/`. */
  readonly folder: string;
  /** Removes secrets; called before text is cut. */
  readonly redact: (text: string) => string;
  readonly fileLimit?: number;
  readonly runLimit?: number;
  readonly limitMs?: number;
}

/** Creates a folder of files that explain one failure. Only `close` may throw, if the disk fails. */
export function openBundle(options: BundleOptions): Bundle {
  const { root, folder, redact, fileLimit = FILE_LIMIT, runLimit = RUN_LIMIT, limitMs = COLLECT_LIMIT_MS } = options;
  const where = path.join(root, folder);
  const lines: string[] = [];
  const deadline = performance.now() + limitMs;
  let writing: Promise<unknown> = Promise.resolve();
  const write = async (name: string, text: string): Promise<void> => {
    await mkdir(where, { recursive: true });
    const kept = keepEnd(text, fileLimit);
    const size = Buffer.byteLength(kept);
    if ((await sizeOf(root)) + size > runLimit) {
      lines.push(`${name}: left out, the diagnostics of this run have reached ${runLimit} bytes`);
      return;
    }
    await writeFile(path.join(where, name), kept);
    lines.push(`${name}: ${size} bytes`);
  };
  return {
    async add(name, read) {
      try {
        const text = redact(await within(read(), deadline - performance.now()));
        const turn = writing.then(() => write(name, text));
        writing = turn.catch(() => undefined);
        await turn;
      } catch (error) {
        lines.push(`${name}: not there, ${redact(messageOf(error))}`);
      }
    },
    async close(heading) {
      await mkdir(where, { recursive: true });
      await writeFile(path.join(where, "collected.txt"), `${[redact(heading), "", ...lines.sort()].join("\n")}\n`);
    },
  };
}

function keepEnd(text: string, limit: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= limit) return text;
  return `[the last ${limit} of ${bytes.length} bytes]\n${bytes.subarray(bytes.length - limit).toString("utf8")}`;
}

async function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error("it took too long")), Math.max(0, ms));
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

async function sizeOf(folder: string): Promise<number> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(files.map(async (f) => (await stat(path.join(f.parentPath, f.name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
