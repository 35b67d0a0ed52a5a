import { setTimeout as delay } from "node:timers/promises";
import type { V1Probe } from "@kubernetes/client-node";
import type { ActionResult } from "./actions.ts";
import { earlyPauseMs, ProbeState, probeTimes } from "./probe-state.ts";

export interface ProbeOptions {
  readonly probe: V1Probe;
  readonly run: (timeoutMs: number, signal: AbortSignal) => Promise<ActionResult>;
  /** Whether to look for the first success between the declared times, too. */
  readonly eager: boolean;
  readonly onResult: (result: "success" | "failure", message: string) => void;
  /** Each failure at a declared time. */
  readonly onFailure: (message: string) => void;
  readonly signal: AbortSignal;
}

/**
 * Probes until the signal.
 *
 * Deviation from the kubelet, for a cluster that must be up in seconds: an eager probe (startup, readiness) is also
 * run before and between its declared times until it first succeeds. Only a success of such an extra run counts;
 * failures count only at declared times, so initialDelaySeconds, periodSeconds and failureThreshold keep their meaning.
 */
export async function runProbe({ probe, run, eager, onResult, onFailure, signal }: ProbeOptions): Promise<void> {
  const times = probeTimes(probe);
  const state = new ProbeState(times);
  const begin = performance.now();
  let due = begin + times.initialDelayMs;
  const wait = (ms: number): Promise<void> => delay(Math.max(0, ms), undefined, { signal }).catch(() => undefined);
  while (!signal.aborted) {
    const early = eager && state.result !== "success" && times.successThreshold === 1;
    const now = performance.now();
    const next = early ? Math.min(due, now + earlyPauseMs(now - begin)) : due;
    if (next > now) await wait(next - now);
    if (signal.aborted) return;
    // A timer may fire a little before its time.
    const declared = next === due || performance.now() >= due;
    const { ok, message } = await run(times.timeoutMs, signal);
    if (signal.aborted) return;
    if (declared) {
      due = Math.max(due + times.periodMs, performance.now());
      if (!ok) onFailure(message);
    }
    if ((declared || ok) && state.observe(ok)) onResult(ok ? "success" : "failure", message);
  }
}
