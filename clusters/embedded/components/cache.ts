import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";

/** The cache of this user alone, whatever MESHPROOF_CACHE says. */
export function ownCacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  // The XDG Base Directory Specification: a relative path there is invalid and to be ignored.
  const xdg = env["XDG_CACHE_HOME"];
  return join(xdg && isAbsolute(xdg) ? xdg : join(env["HOME"] || homedir(), ".cache"), "meshproof");
}

/** The folder of everything that is built once: `$MESHPROOF_CACHE`, else `meshproof` in the user's XDG cache. Absolute. */
export function cacheRoot(env: NodeJS.ProcessEnv = process.env): string {
  return env["MESHPROOF_CACHE"] ? resolve(env["MESHPROOF_CACHE"]) : ownCacheRoot(env);
}

/** Where Go keeps sources and compiled packages: the user's own folders if the environment names them, else inside the cache. */
export function goCaches(root: string, env: NodeJS.ProcessEnv = process.env) {
  return {
    GOMODCACHE: env["GOMODCACHE"] || join(root, "go", "mod"),
    GOCACHE: env["GOCACHE"] || join(root, "go", "build"),
  };
}
