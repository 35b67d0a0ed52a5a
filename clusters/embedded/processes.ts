import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** A program that runs as long as the cluster does. */
export interface Daemon {
  readonly name: string;
  readonly log: string;
  readonly process: ChildProcess;
  /** Ends it cleanly and waits for that; it is not an error then. */
  stop(): Promise<void>;
}

/**
 * Starts a program that must not end.
 * @param onEnd called once if it ends, with a sentence and the last lines of its log.
 */
export function startDaemon(
  name: string,
  command: readonly string[],
  options: { readonly logs: string; readonly env: NodeJS.ProcessEnv },
  onEnd: (explanation: string) => void,
): Daemon {
  const log = join(options.logs, `${name}.log`);
  const fd = openSync(log, "a", 0o600);
  const [file = "", ...args] = command;
  const process = spawn(file, args, { stdio: ["ignore", fd, fd], env: options.env });
  closeSync(fd);
  let over = false;
  const end = (how: string): void => {
    if (over) return;
    over = true;
    void explain(`${name} ${how}`, log).then(onEnd);
  };
  process.once("error", (error) => end(`could not be started: ${error.message}`));
  process.once("exit", (code, signal) => end(`ended by itself (${signal ?? `exit code ${code}`})`));
  const stop = async (): Promise<void> => {
    if (over) return;
    over = true;
    const exit = once(process, "exit");
    process.kill("SIGTERM");
    await exit;
  };
  return { name, log, process, stop };
}

/** A sentence and the last lines of a log. */
export async function explain(sentence: string, log: string, lines = 15): Promise<string> {
  const text = await readFile(log, "utf8").catch(() => "");
  const last = lastLines(text, lines);
  return last ? `${sentence}; the last lines of ${log}:\n${last}` : `${sentence}; ${log} is empty`;
}

export function lastLines(text: string, count: number): string {
  const lines = text.trimEnd().split("\n");
  return lines
    .slice(-count)
    .map((line) => (line.length > 500 ? `${line.slice(0, 500)}…` : line))
    .join("\n");
}
