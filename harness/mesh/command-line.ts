import { randomBytes } from "node:crypto";
import { PassThrough, Writable } from "node:stream";
import { Exec } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import { messageOf } from "./api-error.ts";
import type { Kube } from "./client.ts";
import type { ContainerRef, ExecResult } from "./exec.ts";

/** A shell in a container that runs one command again and again, each time as a new process, without the cost of a new `exec`. */
export interface CommandLine {
  /**
   * Runs the command with this standard input; runs wait for each other.
   * @throws ERR_PROBE if the connection breaks.
   */
  run(stdin: Buffer): Promise<ExecResult>;
  /** False once the connection has ended: open another one. */
  readonly open: boolean;
  close(): void;
}

/**
 * Reads the number of bytes and then exactly that much input with `dd` (`head -c` of busybox reads ahead), and marks the
 * end of the output with a random word that the output cannot contain.
 */
const LOOP = `mark=$1; shift; while IFS= read -r bytes; do dd bs="$bytes" count=1 iflag=fullblock 2>/dev/null | "$@"; printf '\\n%s %d\\n' "$mark" "$?"; done`;

/**
 * Opens a command line in a container. If the container has no shell, the first run fails with that error.
 * @throws ERR_PROBE if the connection fails.
 */
export async function openCommandLine(
  kube: Kube,
  where: ContainerRef,
  command: readonly string[],
): Promise<CommandLine> {
  const mark = `meshproof-${randomBytes(16).toString("hex")}`;
  const words = `${command[0] ?? "a command"} in ${where.namespace}/${where.pod} (container ${where.container})`;
  const stdin = new PassThrough();
  let stdout: Buffer[] = [];
  let stderr = "";
  let ended: Error | undefined;
  let waiting: { resolve: (result: ExecResult) => void; reject: (error: Error) => void } | undefined;
  const end = (error: Error): void => {
    ended ??= error;
    waiting?.reject(error);
    waiting = undefined;
  };
  const tail = new RegExp(`\\n${mark} (\\d+)\\n$`);
  const out = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      stdout.push(chunk);
      const last = Buffer.concat(stdout.slice(-3)).subarray(-100).toString("latin1");
      const [closing, exitCode] = tail.exec(last) ?? [];
      if (closing !== undefined && waiting) {
        const all = Buffer.concat(stdout);
        waiting.resolve({ stdout: all.subarray(0, all.length - closing.length), stderr, exitCode: Number(exitCode) });
        waiting = undefined;
      }
      done();
    },
  });
  const errors = new Writable({
    write(chunk: Buffer, _encoding, done): void {
      stderr += chunk.toString("utf8");
      done();
    },
  });
  const socket = await new Exec(kube.config)
    .exec(
      where.namespace,
      where.pod,
      where.container,
      ["sh", "-c", LOOP, "sh", mark, ...command],
      out,
      errors,
      stdin,
      false,
      (status) => {
        end(new Error(status.message ?? "the shell ended"));
      },
    )
    .catch((cause: unknown) => {
      throw new MeshproofError("ERR_PROBE", `running ${words} failed: ${messageOf(cause)}`, { cause });
    });
  socket.on("close", (code: number) => {
    end(new Error(`the connection closed (${code})`));
  });
  socket.on("error", end);
  const once = async (bytes: Buffer): Promise<ExecResult> => {
    if (ended) throw ended;
    stdout = [];
    stderr = "";
    const answered = new Promise<ExecResult>((resolve, reject) => {
      waiting = { resolve, reject };
    });
    stdin.write(Buffer.concat([Buffer.from(`${bytes.length}\n`), bytes]));
    return await answered;
  };
  let queue: Promise<unknown> = Promise.resolve();
  return {
    run(input) {
      const turn = queue.then(() =>
        once(input).catch((cause: unknown) => {
          throw new MeshproofError("ERR_PROBE", `running ${words} failed: ${messageOf(cause)}`, { cause });
        }),
      );
      queue = turn.catch(() => undefined);
      return turn;
    },
    get open() {
      return ended === undefined;
    },
    close() {
      ended ??= new Error("closed");
      stdin.end();
      socket.close();
    },
  };
}
