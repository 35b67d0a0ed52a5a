/**
 * The standard streams may go away while a command works: a terminal is closed, a pipe's reader ends, a log's disk is full.
 * Whatever happens to them, the work ends in order; only what a command was asked to print may fail it, and only at its end.
 */

let unprinted: NodeJS.ErrnoException | undefined;

/** To be called once, before anything is written. */
export function guardStreams(): void {
  // Progress that nobody sees harms nobody.
  process.stderr.on("error", () => undefined);
  // `meshproof list | head` is no error.
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code !== "EPIPE") unprinted ??= error;
  });
}

/** Ends the process. Leaving is explicit: what a library keeps open must not keep the command from ending. */
export async function leave(code: number): Promise<never> {
  // A stream tells of an error a turn later.
  await new Promise((resolve) => setImmediate(resolve));
  if (unprinted !== undefined && code === 0) {
    process.stderr.write(`error: the output could not be written: ${unprinted.message}\n`);
    process.exit(3);
  }
  process.exit(code);
}
