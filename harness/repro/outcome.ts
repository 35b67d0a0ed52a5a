/** Compares an answer with what a reporter expected or saw. */

import type { Answered, Outcome, Seen } from "../model/ticket.ts";

/**
 * 200 means that the request reaches the workload, whose own status does not count, or that a proxy answers a CORS preflight in its
 * place.
 */
export function agrees({ status, by }: Answered, expected: Outcome): boolean {
  if (expected === "closed") return status === 0;
  return expected === 200
    ? by === "workload" || (by === "proxy" && status === 200)
    : status === expected && by !== "workload";
}

/** A text is in what the proxy answers, or in its own details. */
export function isSeen(
  got: Answered & { readonly body: string; readonly details?: string | undefined; readonly error?: string | undefined },
  seen: Seen,
): boolean {
  if (typeof seen !== "object") return agrees(got, seen);
  return [got.body, got.details, got.error].some((text) => text?.toLowerCase().includes(seen.text.toLowerCase()));
}
