/** What every long verb has: a status line, and an orderly end when it is interrupted. */

import { watchInterrupt } from "./interrupt.ts";
import { createStatusLine } from "./status.ts";
import type { StatusLine } from "./status.ts";

export interface Work extends StatusLine {
  readonly signal: AbortSignal;
}

/** Does long work. What fails after ctrl-C failed because of it, so ERR_INTERRUPTED takes its place. */
export async function work(act: (work: Work) => Promise<number>): Promise<number> {
  const status = createStatusLine();
  const over = new AbortController();
  const signal = watchInterrupt(status.progress, { until: over.signal });
  try {
    return await act({ ...status, signal });
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    status.clear();
    over.abort();
  }
}
