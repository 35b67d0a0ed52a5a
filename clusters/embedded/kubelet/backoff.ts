/**
 * The pause before a restart or another attempt, as the kubelet's: none at first, then 10 s doubling to 5 min,
 * forgotten once a container ran for 10 min (Kubernetes: container restart policy).
 */
export class BackOff {
  #nextMs = 0;

  static readonly FIRST_MS = 10_000;
  static readonly MAX_MS = 300_000;
  static readonly FORGET_MS = 600_000;

  /** The pause before the next attempt, given how long the last one ran. */
  next(ranMs: number): number {
    if (ranMs >= BackOff.FORGET_MS) this.#nextMs = 0;
    const pause = this.#nextMs;
    this.#nextMs = pause === 0 ? BackOff.FIRST_MS : Math.min(pause * 2, BackOff.MAX_MS);
    return pause;
  }
}

/** `10s`, `2m40s`, `5m0s`, in Go's format of durations, because people search for the kubelet's messages. */
export function formatPause(ms: number): string {
  const seconds = Math.round(ms / 1000);
  return seconds < 60 ? `${seconds}s` : `${Math.floor(seconds / 60)}m${seconds % 60}s`;
}
