/** Which digest a tag had when a component was made from it, so that the next start asks no registry. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../harness/replace-file.ts";
import { lockOf } from "./entry.ts";
import { withLock } from "./lock.ts";

/** Digest (`sha256:…`) by reference: registry, repository, tag. */
export type Digests = Readonly<Record<string, string>>;

const fileOf = (cache: string) => join(cache, "image-digests.json");

/** The remembered values; empty if the file is missing, or was not written by meshproof. */
export async function rememberedDigests(cache: string): Promise<Digests> {
  try {
    const found = JSON.parse(await readFile(fileOf(cache), "utf8")) as unknown;
    const entries = typeof found === "object" && found !== null ? Object.entries(found) : [];
    return Object.fromEntries(entries.filter(([, digest]) => /^sha256:[0-9a-f]{64}$/.test(String(digest))));
  } catch {
    return {};
  }
}

/**
 * Adds to what is remembered. Components that come side by side, also in several processes, take turns. A cache that cannot be
 * written is not an error: the registry is asked again then.
 */
export async function rememberDigests(cache: string, digests: Digests): Promise<void> {
  const known = await rememberedDigests(cache);
  if (Object.entries(digests).every(([reference, digest]) => known[reference] === digest)) return;
  try {
    await withLock(lockOf(cache, "image-digests"), { onWait: () => undefined }, async () => {
      const before = await rememberedDigests(cache);
      await replaceFile(fileOf(cache), `${JSON.stringify({ ...before, ...digests }, undefined, 2)}\n`);
    });
  } catch {
    return;
  }
}
