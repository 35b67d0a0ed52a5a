import type { V1Probe } from "@kubernetes/client-node";

/** A probe with Kubernetes' defaults filled in; times are milliseconds. */
export interface ProbeTimes {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  readonly timeoutMs: number;
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

export function probeTimes(probe: V1Probe): ProbeTimes {
  return {
    initialDelayMs: (probe.initialDelaySeconds ?? 0) * 1000,
    periodMs: (probe.periodSeconds ?? 10) * 1000,
    timeoutMs: (probe.timeoutSeconds ?? 1) * 1000,
    successThreshold: probe.successThreshold ?? 1,
    failureThreshold: probe.failureThreshold ?? 3,
  };
}

/** Counts results of one kind in a row against the thresholds. */
export class ProbeState {
  readonly #thresholds: Pick<ProbeTimes, "successThreshold" | "failureThreshold">;
  #inARow = 0;
  #last: boolean | undefined;
  result: "unknown" | "success" | "failure" = "unknown";

  constructor(thresholds: Pick<ProbeTimes, "successThreshold" | "failureThreshold">) {
    this.#thresholds = thresholds;
  }

  /** @returns whether the result changed */
  observe(ok: boolean): boolean {
    this.#inARow = ok === this.#last ? this.#inARow + 1 : 1;
    this.#last = ok;
    if (this.#inARow < (ok ? this.#thresholds.successThreshold : this.#thresholds.failureThreshold)) return false;
    const before = this.result;
    this.result = ok ? "success" : "failure";
    return this.result !== before;
  }
}

/** When to look again before the first success, after this long without one: often at first, then ever more rarely. */
export function earlyPauseMs(elapsedMs: number): number {
  return Math.max(100, elapsedMs / 10);
}
