import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";

/** flock(1)'s exit code if another process has the lock. */
const TAKEN = 75;

type Release = () => Promise<void>;

/**
 * Takes a lock, or returns undefined if `nonblock` is set and another process has it. Its holder is a child that waits for
 * the end of its standard input, so the kernel frees the lock when this process ends for any reason.
 */
async function hold(file: string, nonblock: boolean, signal?: AbortSignal): Promise<Release | undefined> {
  const flags = ["--exclusive", "--conflict-exit-code", `${TAKEN}`, ...(nonblock ? ["--nonblock"] : [])];
  const child = spawn("flock", [...flags, file, "sh", "-c", "echo held; read -r _"], {
    stdio: ["pipe", "pipe", "ignore"],
    // A process group of its own, so that ctrl-C at a terminal does not free the lock while this process tidies up.
    detached: true,
  });
  // The holder may have died already.
  child.stdin.on("error", () => undefined);
  const giveUp = () => {
    child.stdin.destroy();
    child.kill();
  };
  signal?.addEventListener("abort", giveUp, { once: true });
  if (signal?.aborted) giveUp();
  try {
    const ended = once(child, "exit") as Promise<[number | null]>;
    const first = await Promise.race([once(child.stdout, "data").then(() => "held" as const), ended]);
    if (first === "held")
      return async () => {
        child.stdin.end();
        await ended;
      };
    if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted");
    if (first[0] === TAKEN) return undefined;
    throw new MeshproofError("ERR_COMPONENT", `flock ${file} ended with ${first[0]}`);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code !== "ENOENT") throw cause;
    throw new MeshproofError("ERR_MISSING_PROGRAM", "flock (util-linux) is missing", {
      hint: "meshproof doctor lists what this machine lacks and how to install it",
      cause,
    });
  } finally {
    signal?.removeEventListener("abort", giveUp);
  }
}

async function whileHeld<T>(free: Release | undefined, file: string, work: () => Promise<T>): Promise<T> {
  try {
    await writeFile(file, `${process.pid}\n`);
    return await work();
  } finally {
    await free?.();
  }
}

/**
 * Runs `work` while holding the lock `file`, which is made if need be and stays. Other processes wait for their turn;
 * `onWait` then gets the process id of the one that has it.
 */
export async function withLock<T>(
  file: string,
  options: { readonly onWait: (pid: string) => void; readonly signal?: AbortSignal | undefined },
  work: () => Promise<T>,
): Promise<T> {
  await mkdir(dirname(file), { recursive: true });
  let free = await hold(file, true, options.signal);
  if (!free) {
    options.onWait((await readFile(file, "utf8")).trim());
    free = await hold(file, false, options.signal);
  }
  return whileHeld(free, file, work);
}

/** Runs `work` while holding the lock `file`, or returns false if another process has it. */
export async function withFreeLock(file: string, work: () => Promise<void>): Promise<boolean> {
  await mkdir(dirname(file), { recursive: true });
  const free = await hold(file, true);
  if (!free) return false;
  await whileHeld(free, file, work);
  return true;
}
