/** Runs the project's tools as npm does, by the scripts in package.json. */

import { execa } from "execa";
import { PROJECT } from "../cli/context.ts";
import { type Counts, judge } from "./counts.ts";

export interface ToolResult {
  readonly name: string;
  readonly ok: boolean;
  readonly counts: Counts;
  readonly output: string;
  readonly ms: number;
}

interface ToolOptions {
  /** Show the output while it comes; otherwise it is only collected. */
  readonly live?: boolean;
}

/**
 * Runs a command line in the project's folder with its tools and its Node in PATH. Never throws: a tool that does not start has failed.
 * @param name what the result is called
 */
export async function runTool(name: string, command: string, { live = false }: ToolOptions = {}): Promise<ToolResult> {
  const start = performance.now();
  const result = await execa(command, {
    shell: true,
    cwd: PROJECT,
    preferLocal: true,
    localDir: PROJECT,
    stdin: "ignore",
    stdout: live ? ["inherit", "pipe"] : "pipe",
    stderr: live ? ["inherit", "pipe"] : "pipe",
    all: true,
    reject: false,
    maxBuffer: 1e9,
  });
  const ok = !result.failed;
  return { name, ok, counts: judge(result.all, ok), output: result.all, ms: performance.now() - start };
}
