/** How an error ends a command: what a person reads, and the exit code. */

import { CommanderError } from "commander";
import { exitCodeOf, MeshproofError } from "../harness/errors.ts";
import { warn } from "./streams.ts";

/** Writes the error to standard error and gives the exit code. */
export function explain(error: unknown): number {
  // commander has told already, and knows help from a mistake.
  if (error instanceof CommanderError) {
    if (error.code.startsWith("meshproof.")) warn(error.message);
    return error.exitCode === 0 ? 0 : 2;
  }
  warn(describe(error));
  return exitCodeOf(error);
}

function describe(error: unknown): string {
  if (error instanceof MeshproofError) {
    if (error.code === "ERR_INTERRUPTED") return error.message;
    const [first, ...more] = error.message.split("\n");
    return [
      `error: ${first}`,
      ...more.map((line) => `       ${line}`),
      ...(error.hint === undefined ? [] : [`  ${error.hint}`]),
    ].join("\n");
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return `error: meshproof itself failed, which it should not; please report this:\n${stack}`;
}
