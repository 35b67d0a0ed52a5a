/** Handles ctrl-C: the first one stops cleanly, the second one at once. */

import type { EventEmitter } from "node:events";
import { MeshproofError } from "../harness/model/errors.ts";

/** One ctrl-C may arrive twice, from the terminal and from npm or the launcher. A user cannot press it twice in this time. */
const SAME_PRESS_MS = 300;

interface Surroundings {
  /** The current time in milliseconds. */
  readonly now?: () => number;
  readonly exit?: (code: number) => void;
  /** Where signals arrive; default this process. */
  readonly signals?: Pick<EventEmitter, "on" | "off">;
  /** Aborting this removes the signal handlers. */
  readonly until?: AbortSignal;
}

/**
 * Aborts with ERR_INTERRUPTED at the first SIGINT, SIGTERM or SIGHUP; a second one ends the process at once.
 * @param tell prints that stopping has begun
 */
export function watchInterrupt(
  tell: (line: string) => void,
  { now = () => performance.now(), exit = (code) => process.exit(code), signals = process, until }: Surroundings = {},
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
    signals.on(signal, onSignal);
    until?.addEventListener("abort", () => signals.off(signal, onSignal), { once: true });
  }
  return controller.signal;
}
