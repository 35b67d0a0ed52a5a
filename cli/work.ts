/** Runs a long verb with a status line, and ends it cleanly when it is interrupted. */

import { watchInterrupt } from "./interrupt.ts";
import { createStatusLine, type StatusLine } from "./status.ts";

export interface Work extends StatusLine {
  readonly signal: AbortSignal;
}

/** Runs long work. An error after ctrl-C is a consequence of it, so ERR_INTERRUPTED replaces it. */
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
