import { readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import type { RunningContainer } from "./runtime.ts";
import { quote } from "./shell.ts";
import { tryTool } from "./tools.ts";

/** Runs the command in a pseudo-terminal of the container's own devpts, with script(1) of Debian's bsdutils. */
export function inTerminal(command: readonly string[]): string[] {
  return ["script", "--quiet", "--return", "--flush", "--command", command.map(quote).join(" "), "/dev/null"];
}

/**
 * Sets a terminal's size as soon as it exists; the kernel notifies the programs in it (SIGWINCH).
 * @param script returns the process id of script(1), undefined before it starts
 */
export async function resizeTerminal(
  container: RunningContainer,
  script: () => number | undefined,
  size: { readonly columns: number; readonly rows: number },
): Promise<void> {
  for (let tries = 0; tries < 100; tries++) {
    const terminal = terminalOf(script());
    if (terminal) {
      await tryTool(container.enter(["stty", "-F", terminal, "rows", String(size.rows), "cols", String(size.columns)]));
      return;
    }
    await delay(10);
  }
}

/** The terminal of the first process under script(1), as its container names it: `/dev/pts/0`. */
function terminalOf(script: number | undefined): string | undefined {
  const inner = script === undefined ? undefined : firstChildOf(script);
  if (inner === undefined) return undefined;
  try {
    const path = readlinkSync(`/proc/${inner}/fd/0`);
    return path.startsWith("/dev/pts/") ? path : undefined;
  } catch {
    return undefined;
  }
}

export function firstChildOf(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/children`, "latin1").split(" ")[0]) || undefined;
  } catch {
    return undefined;
  }
}
