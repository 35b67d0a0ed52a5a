/** Starts Playwright for `meshproof run`: translates settings, and receives its messages. */

import { spawn } from "node:child_process";
import { access, constants, writeFile } from "node:fs/promises";
import { createRequire } from "node:module";
import path from "node:path";
import { cacheRoot } from "../../clusters/components/cache.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { RunResult } from "../../harness/model/result.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { makeOwnFolder } from "../../harness/own.ts";
import { readError, type Told } from "../../harness/run/parent.ts";
import { SETTINGS_VARIABLE, type RunSettings } from "../../harness/run/settings.ts";
import type { Work } from "../work.ts";
import { EXTENSION, PROJECT } from "../context.ts";

/** Maximum number of printed lines of Playwright's errors. */
const COMPLAINT_LINES = 20;

/** Receives the messages of a run. */
export interface Listener {
  /** Called before the reports are written. */
  readonly result: (result: RunResult) => void;
  readonly note: (text: string) => void;
}

/**
 * Runs Playwright with these settings, in its own process group: a terminal's ctrl-C then reaches only this process, which ends
 * Playwright cleanly.
 * @param settings.all all scenarios, as this process has loaded them: Playwright's processes do not load them again
 * @throws the error that prevented a result, or writing it; ERR_PROBE if it ran no scenario
 */
export async function runPlaywright(
  { all, ...settings }: RunSettings & { readonly all: readonly Scenario[] },
  { progress, signal }: Work,
  listener: Listener,
): Promise<void> {
  const tempDir = makeTempDir();
  const loaded = path.join(tempDir, "scenarios.json");
  await writeFile(loaded, JSON.stringify(all));
  const cli = createRequire(import.meta.url).resolve("@playwright/test/cli");
  const config = path.join(PROJECT, `playwright.config${EXTENSION}`);
  const child = spawn(process.execPath, [cli, "test", "--config", config], {
    detached: true,
    stdio: ["ignore", "pipe", "pipe", "ipc"],
    env: {
      ...process.env,
      [SETTINGS_VARIABLE]: JSON.stringify({ ...settings, loaded, outputDir: path.join(tempDir, "playwright") }),
      PWTEST_CACHE_DIR: await writableOr(path.join(cacheRoot(), "playwright"), path.join(tempDir, "compiled")),
      FORCE_COLOR: "0",
    },
  });
  const complaints: string[] = [];
  let error: MeshproofError | undefined;
  let hasResult = false;
  child.on("message", (told: Told) => {
    switch (told.kind) {
      case "progress":
        return progress(told.text);
      case "ended": {
        const { done, of, status, id, durationMs } = told;
        return progress(`[${done}/${of}] ${status} ${id} ${(durationMs / 1000).toFixed(1)} s`);
      }
      case "result":
        hasResult = true;
        return listener.result(told.result);
      case "note":
        return listener.note(told.text);
      case "complaint":
        return void complaints.push(told.text);
      case "error":
        error ??= readError(told);
    }
  });
  child.stdout?.resume();
  child.stderr?.setEncoding("utf8").on("data", (text: string) => complaints.push(text));
  const stop = (): void => void child.kill("SIGINT");
  signal.addEventListener("abort", stop, { once: true });
  if (signal.aborted) stop();
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  }).finally(() => signal.removeEventListener("abort", stop));
  // The cluster's error is the cause of the other ones.
  if (error !== undefined) throw error;
  signal.throwIfAborted();
  if (hasResult) return;
  const words = complaints.join("\n").split("\n").slice(0, COMPLAINT_LINES).join("\n");
  throw new MeshproofError("ERR_PROBE", `Playwright ran no scenario: ${words || `exit code ${String(code)}`}`);
}

/** A writable folder: the cache may be another user's, or read-only. Files in it are executed. */
async function writableOr(dir: string, other: string): Promise<string> {
  try {
    const own = makeOwnFolder(dir, { hint: "name a folder of your own in MESHPROOF_CACHE" });
    await access(own, constants.W_OK);
    return own;
  } catch {
    return other;
  }
}
