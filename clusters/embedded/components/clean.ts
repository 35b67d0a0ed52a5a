import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { execa } from "execa";

import { cacheRoot } from "./cache.ts";
import { entryName } from "./entry.ts";
import { allRecipes } from "./list.ts";

/**
 * Removes from the cache what no component of this version of meshproof is: entries of other keys, logs, and Go's caches
 * if they lie inside it. Other versions of meshproof that share the cache build theirs again.
 *
 * @returns the names removed, relative to the cache.
 */
export async function cleanComponents(): Promise<string[]> {
  const cache = cacheRoot();
  const current = await Promise.all((await allRecipes()).map(entryName));
  const list = async (dir: string) => readdir(join(cache, dir)).catch(() => []);
  const old = (await list("components")).filter((name) => name !== ".locks" && !current.includes(name));
  const removed = [...old.map((name) => join("components", name))];
  for (const dir of ["logs", "go"]) if ((await list(dir)).length > 0) removed.push(dir);
  for (const path of removed) {
    // Go's module cache is read-only directories, which rm can only empty after this.
    await execa("chmod", ["-R", "u+w", join(cache, path)], { reject: false });
    await execa("rm", ["-rf", join(cache, path)]);
  }
  return removed;
}
