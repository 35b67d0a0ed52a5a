/** Builds what is compiled, and keeps nothing of the compiler's afterwards. */

import { access, constants } from "node:fs/promises";
import { join } from "node:path";

import { execa } from "execa";

import { inLanes } from "../../harness/lanes.ts";
import { ensureEntry, entryName, type EntryOptions, inspectEntry, type InstalledComponent, lockOf } from "./entry.ts";
import { goToolchain } from "./go.ts";
import { withLock } from "./lock.ts";
import type { Recipe } from "./recipe.ts";
import { run } from "./run.ts";

/** Lock for compiling into the cache's Go caches, or removing them. */
export const goLockOf = (cache: string): string => lockOf(cache, "go");

export interface CompileOptions extends EntryOptions {
  /** Leaves Go's caches, for the next build. */
  readonly keepGoCaches?: boolean | undefined;
}

/**
 * The components of recipes that compile, built one after the other where they are missing. Sources are downloaded while
 * others are compiled; afterwards Go's caches below the cache are removed, where all went well. Other processes that share
 * the cache take turns.
 */
export async function compileAll(recipes: readonly Recipe[], options: CompileOptions): Promise<InstalledComponent[]> {
  const { cache, progress, signal } = options;
  const states = await Promise.all(recipes.map(async (recipe) => inspectEntry(cache, await entryName(recipe))));
  const missing = recipes.filter((_, index) => states[index]?.state !== "present");
  const build = async (): Promise<InstalledComponent[]> =>
    inLanes(recipes, (recipe) => ensureEntry(recipe, options), 1);
  // In a cache that cannot be written, ensureEntry explains what is missing.
  if (missing.length === 0 || !(await isWritable(cache))) return build();
  const onWait = (pid: string): void => progress(`waiting for another meshproof (process ${pid}) to compile …`);
  return withLock(goLockOf(cache), { onWait, signal }, async () => {
    const failed = new AbortController();
    const signals = signal ? [signal, failed.signal] : [failed.signal];
    const ahead = downloadAhead(missing.slice(1), { ...options, signal: AbortSignal.any(signals) });
    try {
      const built = await build();
      if (options.keepGoCaches !== true) await removeGoCaches(cache);
      return built;
    } finally {
      failed.abort();
      await ahead;
    }
  });
}

/** A failed download is not an error: the build tries again, and reports it. */
async function downloadAhead(recipes: readonly Recipe[], options: EntryOptions): Promise<void> {
  const { cache, progress, signal } = options;
  for (const { name, download } of recipes) {
    if (signal?.aborted) return;
    const log = join(cache, "logs", `${name}-download.log`);
    await download?.({ cache, progress, signal, run: (command, more) => run(command, { ...more, log, signal }) }).catch(
      () => undefined,
    );
  }
}

async function isWritable(cache: string): Promise<boolean> {
  return access(cache, constants.W_OK).then(
    () => true,
    () => false,
  );
}

/** Go's module and build cache below the cache, and a Go that was fetched for the build. The user's own are not touched. */
async function removeGoCaches(cache: string): Promise<void> {
  await removeTree(join(cache, "go"));
  await removeTree(join(cache, "components", await entryName(goToolchain)));
}

/** Removes a folder. The directories of Go's module cache are read-only. */
export async function removeTree(path: string): Promise<void> {
  await execa("chmod", ["-R", "u+w", path], { reject: false });
  await execa("rm", ["-rf", path]);
}
