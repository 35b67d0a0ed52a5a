import { open, readFile } from "node:fs/promises";

import { execa, ExecaError } from "execa";

import { MeshproofError } from "../../harness/model/errors.ts";

const LAST_LINES = 15;

export interface RunOptions {
  readonly cwd?: string;
  /** Added to this process's environment; undefined removes a variable. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Gets everything the program prints, appended. */
  readonly log: string;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a program to its end and returns what it printed on standard output.
 *
 * @throws MeshproofError ERR_COMPONENT with the last lines of the log and its name, ERR_MISSING_PROGRAM, or ERR_INTERRUPTED.
 */
export async function run(command: readonly [string, ...string[]], options: RunOptions): Promise<string> {
  const log = await open(options.log, "a");
  try {
    await log.write(`$ ${command.join(" ")}\n`);
    // So that a killed meshproof leaves no compiler running (prctl(2), PR_SET_PDEATHSIG).
    const { stdout } = await execa("setpriv", ["--pdeathsig", "KILL", "--", ...command], {
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      env: { ...process.env, ...options.env },
      extendEnv: false,
      stdin: "ignore",
      stdout: ["pipe", { file: options.log, append: true }],
      stderr: { file: options.log, append: true },
      buffer: { stderr: false },
      ...(options.signal ? { cancelSignal: options.signal } : {}),
    });
    return stdout;
  } catch (cause) {
    if (options.signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted", { cause });
    if (!(cause instanceof ExecaError)) throw cause;
    // 127 is setpriv's status for a program that does not exist (util-linux, exitcodes.h: EX_EXEC_ENOENT).
    if (cause.code === "ENOENT" || cause.exitCode === 127)
      throw new MeshproofError(
        "ERR_MISSING_PROGRAM",
        `${cause.code === "ENOENT" ? "setpriv" : command[0]} is missing`,
        {
          hint: "meshproof doctor lists what this machine lacks and how to install it",
          cause,
        },
      );
    const lines = (await readFile(options.log, "utf8")).trimEnd().split("\n").slice(-LAST_LINES);
    throw new MeshproofError(
      "ERR_COMPONENT",
      `${command[0]} failed (exit status ${cause.exitCode ?? cause.signal ?? "unknown"}); its last lines:\n  ${lines.join("\n  ")}`,
      { hint: `the whole log: ${options.log}`, cause },
    );
  } finally {
    await log.close();
  }
}
