/** For tests that need a cache of their own. */

const NAMES = ["MESHPROOF_CACHE", "XDG_CACHE_HOME"] as const;

/** Makes a folder the only cache of this process. @returns what undoes it */
export function useCache(folder: string): () => void {
  const before = NAMES.map((name) => process.env[name]);
  for (const name of NAMES) process.env[name] = folder;
  return () => {
    for (const [i, name] of NAMES.entries())
      if (before[i] === undefined) delete process.env[name];
      else process.env[name] = before[i];
  };
}
