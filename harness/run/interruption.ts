import { setTimeout as delay } from "node:timers/promises";
import { MeshproofError } from "../model/errors.ts";
import type { ScenarioFinding } from "../model/finding.ts";
import type { ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { unrun } from "./scenario.ts";

/** Who ends a run (a CI system's time limit) waits for some seconds only: results come before all that can be done later. */
const HURRY_MS = 5_000;

/** Since when another meshproof may have been at work on a cluster when the loss of its Lease is noticed: a renewal and its answer. */
const UNSURE_MS = 20_000;

/** What becomes of a run that is interrupted, or whose cluster is lost, while its scenarios run. */
export interface Interruption {
  happened(): boolean;
  /**
   * The scenario's result; in error where it had not ended, or may have ended under somebody else's policies.
   * @param marginMs how long before the interruption it must have ended
   */
  cut(scenario: Scenario, result: ScenarioResult, marginMs?: number): ScenarioResult;
  /** Waits for work; once the run is interrupted for a moment only, and what fails then is `otherwise`. */
  inTime<T>(work: Promise<T>, otherwise: T): Promise<T>;
}

export function watchInterruption(signal: AbortSignal | undefined, now = () => Date.now()): Interruption {
  let at: number | undefined;
  const interrupted = Promise.withResolvers<void>();
  const note = (): void => {
    at = now();
    interrupted.resolve();
  };
  if (signal?.aborted === true) note();
  signal?.addEventListener("abort", note, { once: true });
  return {
    happened: () => at !== undefined,
    cut(scenario, result, marginMs = 0) {
      if (at === undefined) return result;
      const reason: unknown = signal?.reason;
      const taken = reason instanceof MeshproofError && reason.code === "ERR_CLUSTER_BUSY";
      const ended = Date.parse(result.startedAt) + result.durationMs;
      if (result.steps.length > 0 && ended <= at - Math.max(marginMs, taken ? UNSURE_MS : 0)) return result;
      // An error that it had before says more.
      if (result.steps.length === 0 && result.status === "error" && ended <= at) return result;
      return unrun(scenario, "error", [why(reason)]);
    },
    async inTime(work, otherwise) {
      const late = interrupted.promise.then(() => delay(HURRY_MS, otherwise, { ref: false }));
      try {
        return await Promise.race([work, late]);
      } catch (error) {
        if (at === undefined) throw error;
        return otherwise;
      }
    },
  };
}

function why(reason: unknown): ScenarioFinding {
  if (!(reason instanceof MeshproofError) || reason.code === "ERR_INTERRUPTED")
    return { kind: "not-finished", because: "interrupted" };
  return { kind: "not-finished", because: "cluster", said: reason.message };
}
