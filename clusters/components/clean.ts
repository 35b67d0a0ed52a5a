import { readdir } from "node:fs/promises";
import { join } from "node:path";

import { cacheRoot } from "./cache.ts";
import { goLockOf, removeTree } from "./compile.ts";
import { describedEntries, entryName, lockOf } from "./entry.ts";
import { ALL_MESHES, allRecipes, istioctlRecipe, ISTIO_VERSIONS, nodeRecipes, PUBLISHED_NAMES } from "./list.ts";
import { withFreeLock } from "./lock.ts";
import { imageDigestsOf, isFromImages } from "./images.ts";
import { rememberedDigests } from "./remembered.ts";

/**
 * Removes from the cache what no component of this version of meshproof is: entries of other keys, what an interrupted
 * build left, logs, and Go's caches if they lie inside it. Two things stay: an entry that another process builds now, and an
 * entry from images whose digests are remembered. Other versions of meshproof that share the cache build theirs again.
 *
 * @returns the paths removed, relative to the cache.
 */
export async function cleanComponents(): Promise<string[]> {
  const cache = cacheRoot();
  const recipes = [
    ...(await allRecipes(ALL_MESHES)),
    ...(await nodeRecipes()),
    ...(await Promise.all(ISTIO_VERSIONS.map(istioctlRecipe))),
  ];
  const current = await Promise.all(recipes.map(entryName));
  const remembered = Object.values(await rememberedDigests(cache));
  for (const component of PUBLISHED_NAMES)
    for (const [name, described] of await describedEntries(cache, component)) {
      const digests = Object.values(imageDigestsOf(described));
      if (isFromImages(described) && digests.every((digest) => remembered.includes(digest))) current.push(name);
    }
  const list = async (dir: string) => readdir(join(cache, dir)).catch(() => []);
  const removed: string[] = [];
  const remove = async (path: string) => {
    await removeTree(join(cache, path));
    removed.push(path);
  };
  let busy = false;
  for (const name of await list("components")) {
    // What the kind cluster's images are built from is named by content that is not known here.
    if (name === ".locks" || current.includes(name) || name.startsWith("kind-")) continue;
    // `.<entry>.<random>` is a build's own folder.
    const entry = name.replace(/^\.(.*)\.[^.]*$/, "$1");
    busy = !(await withFreeLock(lockOf(cache, entry), () => remove(join("components", name)))) || busy;
  }
  if (!busy && (await list("logs")).length > 0) await remove("logs");
  if ((await list("go")).length > 0) await withFreeLock(goLockOf(cache), () => remove("go"));
  return removed;
}
