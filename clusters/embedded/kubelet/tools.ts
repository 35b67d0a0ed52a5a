import { spawn } from "node:child_process";

/** Where util-linux and the node's own tools are: the usual folders, then the user's own, as NixOS has none in the usual ones. */
export const TOOL_PATH = ["/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", process.env["PATH"]]
  .filter(Boolean)
  .join(":");

export interface ToolResult {
  readonly code: number;
  /** Standard output and error together, at most {@link MAX_OUTPUT} bytes. */
  readonly output: string;
}

const MAX_OUTPUT = 10 * 1024;

/** Runs a program to its end, or until the signal or the limit kills it (code 137). */
export function tryTool(
  command: readonly string[],
  options: { signal?: AbortSignal; timeoutMs?: number } = {},
): Promise<ToolResult> {
  const [file = "", ...args] = command;
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      env: { PATH: TOOL_PATH },
      cwd: "/",
      stdio: ["ignore", "pipe", "pipe"],
      killSignal: "SIGKILL",
      ...(options.signal ? { signal: options.signal } : {}),
      ...(options.timeoutMs === undefined ? {} : { timeout: options.timeoutMs }),
    });
    let output = "";
    const collect = (chunk: Buffer): void => {
      if (output.length < MAX_OUTPUT) output += chunk.toString().slice(0, MAX_OUTPUT - output.length);
    };
    child.stdout.on("data", collect);
    child.stderr.on("data", collect);
    child.on("error", (error) => resolve({ code: 127, output: error.message }));
    child.on("close", (code) => resolve({ code: code ?? 137, output }));
  });
}

/** @throws Error with the program's output if its exit code is not 0. */
export async function runTool(command: readonly string[]): Promise<void> {
  const { code, output } = await tryTool(command);
  if (code !== 0) throw new Error(`${command[0]} ended with ${code}: ${output.trim()}`);
}
