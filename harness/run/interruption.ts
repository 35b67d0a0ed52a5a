import { setTimeout as delay } from "node:timers/promises";
import { MeshproofError, type ErrorCode } from "../model/errors.ts";
import type { ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { unrun } from "./scenario.ts";

/** Who ends a run (a CI system's time limit) waits for some seconds only: results come before all that can be done later. */
export const HURRY_MS = 5_000;

/** Since when another meshproof may have been at work on a cluster when the loss of its Lease is noticed: a renewal and its answer. */
const UNSURE_MS = 20_000;

/** A run that was interrupted, or whose cluster was lost, while its scenarios ran. */
export interface Interruption {
  /** `Date.now()` */
  readonly at: number;
  /** Undefined if it is not a MeshproofError. */
  readonly code?: ErrorCode;
  readonly message: string;
}

export function interruptionBy(reason: unknown, at = Date.now()): Interruption {
  const known = reason instanceof MeshproofError ? reason : undefined;
  return { at, ...(known && { code: known.code }), message: known?.message ?? "interrupted" };
}

/**
 * The scenario's result; in error if it had not ended, or may have ended under another run's policies.
 * @param marginMs how long before the interruption it must have ended
 */
export function cut(
  interruption: Interruption | undefined,
  scenario: Scenario,
  result: ScenarioResult,
  marginMs = 0,
): ScenarioResult {
  if (interruption === undefined) return result;
  const { at, code, message } = interruption;
  const margin = Math.max(marginMs, code === "ERR_CLUSTER_BUSY" ? UNSURE_MS : 0);
  const ended = Date.parse(result.startedAt) + result.durationMs;
  if (result.steps.length > 0 && ended <= at - margin) return result;
  // An error that it had before says more.
  if (result.steps.length === 0 && result.status === "error" && ended <= at) return result;
  const isOurs = code === undefined || code === "ERR_INTERRUPTED";
  return unrun(scenario, "error", [
    isOurs
      ? { kind: "not-finished", because: "interrupted" }
      : { kind: "not-finished", because: "cluster", said: message },
  ]);
}

/** Waits for work; once the run is interrupted for a moment only, and what fails then is `otherwise`. */
export async function inTime<T>(signal: AbortSignal, work: Promise<T>, otherwise: T): Promise<T> {
  const interrupted = Promise.withResolvers<void>();
  const onAbort = (): void => interrupted.resolve();
  if (signal.aborted) onAbort();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    return await Promise.race([work, interrupted.promise.then(() => delay(HURRY_MS, otherwise, { ref: false }))]);
  } catch (error) {
    if (!signal.aborted) throw error;
    return otherwise;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
