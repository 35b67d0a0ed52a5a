/** What Playwright's main process says to the `meshproof` that started it, by Node's own channel to a child process. */

import type { RunResult, Status } from "../model/result.ts";
import { MeshproofError, type ErrorCode } from "../model/errors.ts";
import { SETTINGS_VARIABLE } from "./settings.ts";

export type Told =
  | { readonly kind: "progress"; readonly text: string }
  | {
      readonly kind: "ended";
      readonly id: string;
      readonly status: Status;
      readonly durationMs: number;
      readonly done: number;
      readonly of: number;
    }
  /** Before it is written. */
  | { readonly kind: "result"; readonly result: RunResult }
  /** Why there is no result, or why it is not written. */
  | { readonly kind: "error"; readonly code: ErrorCode; readonly message: string; readonly hint?: string }
  | { readonly kind: "note"; readonly text: string }
  /** What Playwright itself has to say. */
  | { readonly kind: "complaint"; readonly text: string };

/** Whether `meshproof` started this Playwright. */
export function hasParent(): boolean {
  return process.env[SETTINGS_VARIABLE] !== undefined && process.send !== undefined;
}

export function tellParent(told: Told): void {
  // It may end at any moment, which is not an error of this process.
  if (hasParent() && process.connected) process.send?.(told, undefined, {}, () => undefined);
}

/** Returns when the whole of it is sent: a process that ends before loses what a slow parent has not read yet. */
export async function tellParentWhole(told: Told): Promise<void> {
  if (!hasParent() || !process.connected) return;
  await new Promise<void>((resolve) => process.send?.(told, undefined, {}, () => resolve()));
}

/** @returns the error as it was thrown there */
export function readError({ code, message, hint }: Extract<Told, { kind: "error" }>): MeshproofError {
  return new MeshproofError(code, message, hint === undefined ? {} : { hint });
}

/** An error for {@link tellParent}. */
export function errorOf(error: unknown): Told {
  if (!(error instanceof MeshproofError))
    return { kind: "complaint", text: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  const { code, message, hint } = error;
  return { kind: "error", code, message, ...(hint === undefined ? {} : { hint }) };
}
