import { spawn } from "node:child_process";
import { access, constants, mkdir, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";
import { MeshproofError } from "../model/errors.ts";
import { makeOwnFolder } from "../own.ts";
import { serveControl, type SetMesh } from "./control.ts";
import { PLAN_VARIABLE, type Ground, type RunPlan } from "./plan.ts";

export interface StartOptions {
  /** A folder of the run's own, private to the user, removed by the caller. Short: a unix socket goes there. */
  readonly tempDir: string;
  /** Outlives the run: what Playwright compiled. */
  readonly cacheDir: string;
  /** Ends it before it runs. */
  readonly signal?: AbortSignal;
}

/** Playwright, which has loaded the scenarios and waits for a cluster. */
export interface StartedPlaywright {
  readonly plan: RunPlan;
  /**
   * Lets the scenarios run.
   * @param onLine called for each that has ended: `passed jwt/… 1.2 s`
   * @returns what Playwright had to complain about
   * @throws ERR_PROBE where it ran none; ERR_INTERRUPTED
   */
  run(ground: Ground, setMesh: SetMesh, onLine: (line: string) => void, signal?: AbortSignal): Promise<string>;
  /** Ends it, whatever it does. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** Starts Playwright, so that it loads while a cluster starts. */
export async function startPlaywright(
  planned: Omit<RunPlan, "partsDir" | "diagnosticsDir" | "keyFolder" | "controlSocket">,
  { tempDir, cacheDir, signal }: StartOptions,
): Promise<StartedPlaywright> {
  const plan: RunPlan = {
    ...planned,
    partsDir: path.join(tempDir, "parts"),
    diagnosticsDir: path.join(tempDir, "diagnostics"),
    keyFolder: path.join(tempDir, "keys"),
    controlSocket: path.join(tempDir, "control.sock"),
  };
  const planFile = path.join(tempDir, "plan.json");
  await mkdir(plan.partsDir, { recursive: true });
  await writeFile(planFile, JSON.stringify(plan), { mode: 0o600 });
  const owner = Promise.withResolvers<{ ground: Ground; setMesh: SetMesh }>();
  owner.promise.catch(() => undefined); // it is told to whoever asked
  const control = await serveControl(plan.controlSocket, {
    ground: async () => (await owner.promise).ground,
    setMesh: async (setting, how) => (await owner.promise).setMesh(setting, how),
  });
  const cli = createRequire(import.meta.url).resolve("@playwright/test/cli");
  const child = spawn(
    process.execPath,
    [cli, "test", "--config", path.join(import.meta.dirname, "../../playwright.config.ts")],
    {
      cwd: plan.projectRoot,
      // A process group of its own: a terminal's ctrl-C reaches this process alone, which then ends the child in order.
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
      env: {
        ...process.env,
        [PLAN_VARIABLE]: planFile,
        MESHPROOF_PLAYWRIGHT_OUTPUT: path.join(tempDir, "playwright"),
        PWTEST_CACHE_DIR: await writableOr(path.join(cacheDir, "playwright"), path.join(tempDir, "compiled")),
        FORCE_COLOR: "0",
      },
    },
  );
  let tell: (line: string) => void = () => undefined;
  let done = 0;
  const errors: string[] = [];
  createInterface({ input: child.stdout }).on("line", (line) => {
    if (!/^(passed|failed|flaky|error|skipped|known-failure) /.test(line)) return;
    done++;
    tell(line);
  });
  createInterface({ input: child.stderr }).on("line", (line) => errors.push(line));
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  ended.catch(() => undefined); // thrown where it is awaited
  let grounded = false;
  const stop = (): void => {
    owner.reject(new MeshproofError("ERR_INTERRUPTED", "the run has ended"));
    // Without a cluster it has nothing to put in order, and its workers wait without a limit.
    if (grounded) child.kill("SIGINT");
    else if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, "SIGKILL");
  };
  signal?.addEventListener("abort", stop, { once: true });
  return {
    plan,
    async run(ground, setMesh, onLine, signal) {
      signal?.throwIfAborted();
      grounded = true;
      signal?.addEventListener("abort", stop, { once: true });
      tell = onLine;
      owner.resolve({ ground, setMesh });
      const code = await ended;
      signal?.removeEventListener("abort", stop);
      if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", "interrupted");
      // What happened stands first, before a stack.
      const words = errors.slice(0, 20).join("\n");
      if (done === 0)
        throw new MeshproofError("ERR_PROBE", `Playwright ran no scenario: ${words || `exit code ${String(code)}`}`);
      return words;
    },
    async [Symbol.asyncDispose]() {
      signal?.removeEventListener("abort", stop);
      if (child.exitCode === null && child.signalCode === null) stop();
      await ended.catch(() => undefined);
      control.close();
      control.closeAllConnections();
    },
  };
}

/** The cache may be another user's, or read-only; what lies there is run. */
async function writableOr(dir: string, other: string): Promise<string> {
  try {
    const own = makeOwnFolder(dir, { hint: "name a folder of your own in MESHPROOF_CACHE" });
    await access(own, constants.W_OK);
    return own;
  } catch {
    return other;
  }
}
