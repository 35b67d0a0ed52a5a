import { setTimeout as delay } from "node:timers/promises";

/** A deadline that can only be brought forward, like the grace period by a second `kubectl delete`. */
export class Deadline {
  readonly #passed = new AbortController();
  #at = Infinity;
  #timer: NodeJS.Timeout | undefined;

  /** @param at by `performance.now()` */
  bringForward(at: number): void {
    if (at >= this.#at) return;
    this.#at = at;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#passed.abort(), Math.max(0, at - performance.now()));
    this.#timer.unref();
  }

  get signal(): AbortSignal {
    return this.#passed.signal;
  }
}

/** Waits for this time, or until the signal. */
export async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await delay(ms, undefined, { signal }).catch(() => undefined);
}

/** Resolves when the signal comes. */
export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
