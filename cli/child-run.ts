/** `meshproof run` as a process of its own, for verbs that need more than one run. */

import { rename, rm } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { MeshproofError } from "../harness/model/errors.ts";
import type { RunResult } from "../harness/model/result.ts";
import { readResults } from "../reports/index.ts";
import { EXTENSION } from "./context.ts";

interface ChildRun {
  /** The arguments of `meshproof run`, but for the folder of its results. */
  readonly args: readonly string[];
  /** A folder that does not exist yet; it is removed in the end. */
  readonly scratch: string;
  /** Where the run's own folder of results belongs. */
  readonly place: (result: RunResult) => string;
  readonly env?: Readonly<Record<string, string>>;
  readonly signal: AbortSignal;
  readonly progress: (line: string) => void;
  /** The exit codes of a run whose results count. */
  readonly accept: readonly number[];
  /** What broke, in the message of an error. */
  readonly name: string;
}

/** @throws MeshproofError ERR_CLUSTER_START with the last lines of a run that broke */
export async function runInChild(child: ChildRun): Promise<RunResult> {
  const { args, scratch, place, env = {}, signal, progress, accept, name } = child;
  const main = path.resolve(import.meta.dirname, `main${EXTENSION}`);
  const stderr: string[] = [];
  const run = execa(process.execPath, [...process.execArgv, main, "run", ...args, "--results", scratch], {
    cancelSignal: signal,
    reject: false,
    stdin: "ignore",
    forceKillAfterDelay: 20_000,
    env: { NO_COLOR: "1", ...env },
  });
  for await (const line of run.iterable({ from: "stderr" })) {
    stderr.push(line);
    progress(line);
  }
  const { exitCode } = await run;
  signal.throwIfAborted();
  const judged = await readResults(path.join(scratch, "latest")).catch(() => undefined);
  if (judged !== undefined) await rename(path.join(scratch, judged.id), place(judged));
  await rm(scratch, { recursive: true, force: true });
  if (judged === undefined || !accept.includes(exitCode ?? -1))
    throw new MeshproofError("ERR_CLUSTER_START", `${name} broke:\n${stderr.slice(-20).join("\n")}`);
  return judged;
}
