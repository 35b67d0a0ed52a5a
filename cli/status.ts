/** How progress is drawn: one line that changes on a terminal, a line a sentence elsewhere. */

import type { Progress } from "../harness/progress.ts";
import { redact } from "../harness/safe/redact.ts";
import { printableLine } from "../harness/safe/visible.ts";
import { statusStream, type Stream } from "./streams.ts";

export interface StatusLine {
  readonly progress: Progress;
  /** Takes the line away, so that other output starts at the left edge. The next sentence draws it again. */
  clear(): void;
}

/**
 * Draws on `stream`, standard error by default: what a command prints stays clean for pipes.
 * @param now milliseconds; the elapsed time counts from this call
 */
export function createStatusLine(
  stream: Stream = statusStream(),
  env = process.env,
  now = () => performance.now(),
): StatusLine {
  const start = now();
  const elapsed = (): string => `${((now() - start) / 1000).toFixed(1)} s`;
  if (stream.isTTY !== true || env["CI"] !== undefined) {
    let last: string | undefined;
    return {
      progress: (text) => {
        const line = sentence(text);
        if (line === last) return;
        last = line;
        stream.write(`[${elapsed().padStart(8)}] ${line}\n`);
      },
      clear: () => undefined,
    };
  }
  let current: string | undefined;
  let timer: NodeJS.Timeout | undefined;
  const draw = (): void => {
    const text = `${elapsed()}  ${current ?? ""}`;
    // A line that wraps could not be taken back.
    stream.write(`\r\u001b[2K${text.slice(0, (stream.columns ?? 80) - 1)}`);
  };
  return {
    progress: (text) => {
      current = sentence(text);
      draw();
      timer ??= setInterval(draw, 1000).unref();
    },
    clear: () => {
      if (current === undefined) return;
      clearInterval(timer);
      timer = current = undefined;
      stream.write("\r\u001b[2K");
    },
  };
}

/** One line, whatever a cluster or a program said. */
function sentence(text: string): string {
  return printableLine(redact(text.trimEnd().replaceAll("\n", " ")), { ci: true });
}
