/** Runs a command in the test's own process: a new process takes 1.5 s of CPU time. */

import { main } from "./program.ts";
import { capture } from "./streams.ts";

/** The surroundings of the command. */
interface Surroundings {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The working directory and the environment belong to the process, so only one command runs at a time. */
let before: Promise<unknown> = Promise.resolve();

/** @returns its output, without the last line feed, and its exit code */
export async function meshproof(
  args: readonly string[],
  surroundings: Surroundings = {},
): Promise<{ stdout: string; stderr: string; exitCode: number }> {
  const run = before.then(() => runIn(args, surroundings));
  before = run.catch(() => undefined);
  return await run;
}

async function runIn(args: readonly string[], { cwd, env = {} }: Surroundings) {
  const [here, outside] = [process.cwd(), { ...process.env }];
  if (cwd !== undefined) process.chdir(cwd);
  Object.assign(process.env, env);
  try {
    const { stdout, stderr, returned } = await capture(() => main(args));
    return { stdout: stdout.replace(/\n$/, ""), stderr: stderr.replace(/\n$/, ""), exitCode: returned };
  } finally {
    process.chdir(here);
    for (const name of Object.keys(env)) {
      const value = outside[name];
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
}
