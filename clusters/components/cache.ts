import { join, resolve } from "node:path";
import { makeOwnFolder, findOwnFolder, placeOfUser } from "../../harness/own.ts";

/** Hint for a cache that another user may write to: programs in it are executed. */
export const CACHE_HINT = "name a folder of your own in MESHPROOF_CACHE: what lies in a cache is run";

/** The path of this user's own cache, without MESHPROOF_CACHE. */
function ownCachePlace(env: NodeJS.ProcessEnv): string {
  return join(placeOfUser("XDG_CACHE_HOME", ".cache", env), "meshproof");
}

/** The cache's absolute path, not checked: `$MESHPROOF_CACHE`, else `meshproof` in the user's XDG cache. */
export function cachePlace(env: NodeJS.ProcessEnv = process.env): string {
  return env["MESHPROOF_CACHE"] ? resolve(env["MESHPROOF_CACHE"]) : ownCachePlace(env);
}

const proved = new Map<string, string>();

/**
 * The cache folder, which only this user or root may write to. With root's cache, root's programs are executed.
 * @throws ERR_FOREIGN_FILE if another user may write to it
 */
export function cacheRoot(): string {
  return prove(cachePlace());
}

/** As {@link cacheRoot}, of the cache of this user alone. */
export function ownCacheRoot(): string {
  return prove(ownCachePlace(process.env));
}

function prove(place: string): string {
  const before = proved.get(place);
  if (before !== undefined) return before;
  const options = { hint: CACHE_HINT };
  let folder = findOwnFolder(place, options);
  try {
    // Create it at once, before another user can.
    folder ??= makeOwnFolder(place, options);
  } catch (error) {
    if (!["EACCES", "EROFS", "ENOTDIR", "EPERM"].includes(String((error as NodeJS.ErrnoException).code))) throw error;
    return place; // it does not exist and cannot be created: using it gives an error
  }
  proved.set(place, folder);
  return folder;
}

/** Where Go keeps sources and compiled packages: the user's own folders if the environment names them, else inside the cache. */
export function goCaches(root: string, env: NodeJS.ProcessEnv = process.env) {
  return {
    GOMODCACHE: env["GOMODCACHE"] || join(root, "go", "mod"),
    GOCACHE: env["GOCACHE"] || join(root, "go", "build"),
  };
}
