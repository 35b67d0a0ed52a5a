import { join, resolve } from "node:path";
import { makeOwnFolder, findOwnFolder, placeOfUser } from "../../harness/own.ts";

/** What to do about a cache that somebody else may write: what lies in it is run. */
export const CACHE_HINT = "name a folder of your own in MESHPROOF_CACHE: what lies in a cache is run";

/** Where the cache of this user alone is, whatever MESHPROOF_CACHE says. */
function ownCachePlace(env: NodeJS.ProcessEnv): string {
  return join(placeOfUser("XDG_CACHE_HOME", ".cache", env), "meshproof");
}

/** Where the cache is: `$MESHPROOF_CACHE`, else `meshproof` in the user's XDG cache. Absolute, not looked at. */
export function cachePlace(env: NodeJS.ProcessEnv = process.env): string {
  return env["MESHPROOF_CACHE"] ? resolve(env["MESHPROOF_CACHE"]) : ownCachePlace(env);
}

const proved = new Map<string, string>();

/**
 * The folder of everything that is built once, which nobody but this user or root may write. Root's cache means that root's
 * code runs.
 * @throws ERR_FOREIGN_FILE where somebody else may
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
    // Made at once, so that nobody else makes it meanwhile.
    folder ??= makeOwnFolder(place, options);
  } catch (error) {
    if (!["EACCES", "EROFS", "ENOTDIR", "EPERM"].includes(String((error as NodeJS.ErrnoException).code))) throw error;
    return place; // neither there nor possible: whoever wants something of it is told
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
