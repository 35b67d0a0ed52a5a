/** Shows progress: one line that changes on a terminal, one line per sentence elsewhere. */

import type { Progress } from "../harness/progress.ts";
import { redact } from "../harness/safe/redact.ts";
import { printableLine } from "../harness/safe/visible.ts";
import { statusStream, type Stream } from "./streams.ts";

export interface StatusLine {
  readonly progress: Progress;
  /** Clears the line, so that other output starts at the left edge. The next sentence draws it again. */
  clear(): void;
}

/**
 * Draws on `stream`, standard error by default, so that standard output has only the command's output.
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
    // A line that wraps could not be cleared.
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

/** Makes any text of a cluster or a program one safe line. */
function sentence(text: string): string {
  return printableLine(redact(text.trimEnd().replaceAll("\n", " ")), { ci: true });
}
