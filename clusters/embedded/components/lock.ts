import { spawn } from "node:child_process";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname } from "node:path";

import { MeshproofError } from "../../../harness/errors.ts";

/** util-linux's flock(1) says with this exit status that somebody else has the lock. */
const TAKEN = 75;

/** The lock's holder is a child that waits for the end of its standard input: the kernel frees the lock when this process ends, however it ends. */
function hold(
  file: string,
  flags: readonly string[],
  signal?: AbortSignal,
): Promise<(() => Promise<void>) | undefined> {
  const script = "echo held; read -r _";
  const child = spawn(
    "flock",
    ["--exclusive", ...flags, "--conflict-exit-code", `${TAKEN}`, file, "sh", "-c", script],
    {
      stdio: ["pipe", "pipe", "ignore"],
      // A process group of its own, so that ctrl-C at a terminal does not free the lock while this process tidies up.
      detached: true,
    },
  );
  return new Promise((resolve, reject) => {
    const giveUp = () => child.stdin.destroy() && child.kill();
    signal?.addEventListener("abort", giveUp, { once: true });
    const ended = new Promise<void>((done) => child.once("exit", () => done()));
    child.once("error", (cause) =>
      reject(
        new MeshproofError("ERR_MISSING_PROGRAM", "flock of util-linux cannot be run", {
          hint: "install it: apt-get install util-linux",
          cause,
        }),
      ),
    );
    child.once("exit", (code) => {
      signal?.removeEventListener("abort", giveUp);
      if (signal?.aborted) reject(new MeshproofError("ERR_INTERRUPTED", "interrupted"));
      else if (code === TAKEN) resolve(undefined);
      else reject(new MeshproofError("ERR_COMPONENT", `flock ${file} ended with ${code}`));
    });
    child.stdout.once("data", () => {
      signal?.removeEventListener("abort", giveUp);
      resolve(async () => {
        child.stdin.end();
        await ended;
      });
    });
  });
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
  let free = await hold(file, ["--nonblock"], options.signal);
  if (!free) {
    options.onWait((await readFile(file, "utf8")).trim() || "unknown");
    free = await hold(file, [], options.signal);
  }
  try {
    await writeFile(file, `${process.pid}\n`);
    return await work();
  } finally {
    await free?.();
  }
}
