/** What ctrl-C means: the first asks to stop cleanly, the second insists. */

import { MeshproofError } from "../harness/model/errors.ts";

/** One ctrl-C may arrive twice: from the terminal, and again from npm or the launcher, which pass it on. No hand is this quick. */
const SAME_PRESS_MS = 300;

interface Surroundings {
  /** Milliseconds. */
  readonly now?: () => number;
  readonly exit?: (code: number) => void;
  /** Signals mean again what they meant before, once this is aborted. */
  readonly until?: AbortSignal;
}

/**
 * Aborts with ERR_INTERRUPTED at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once.
 * @param tell says to the user that stopping has begun
 */
export function watchInterrupt(
  tell: (line: string) => void,
  { now = () => performance.now(), exit = (code) => process.exit(code), until }: Surroundings = {},
): AbortSignal {
  const controller = new AbortController();
  let first: number | undefined;
  const onSignal = (signal: NodeJS.Signals): void => {
    if (first === undefined) {
      first = now();
      tell(`${signal === "SIGINT" ? "interrupted" : `got ${signal}`}, stopping (once more to stop at once)`);
      controller.abort(new MeshproofError("ERR_INTERRUPTED", "interrupted"));
    } else if (now() - first > SAME_PRESS_MS) {
      exit(130);
    }
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
    process.on(signal, onSignal);
    until?.addEventListener("abort", () => process.off(signal, onSignal), { once: true });
  }
  return controller.signal;
}
