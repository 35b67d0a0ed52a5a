/** Which digest a tag had when a component was made from it, so that the next start asks no registry. */

import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../harness/replace-file.ts";

/** Digest (`sha256:…`) by reference: registry, repository, tag. */
export type Digests = Readonly<Record<string, string>>;

const fileOf = (cache: string) => join(cache, "image-digests.json");

/** What is remembered; nothing where the file is missing, or is none of ours. */
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
 * Adds to what is remembered. A cache that cannot be written is no error: the registry is asked again then. Of two
 * processes that do this at once one may be forgotten, with the same consequence.
 */
export async function rememberDigests(cache: string, digests: Digests): Promise<void> {
  const before = await rememberedDigests(cache);
  if (Object.entries(digests).every(([reference, digest]) => before[reference] === digest)) return;
  try {
    await mkdir(cache, { recursive: true });
    await replaceFile(fileOf(cache), `${JSON.stringify({ ...before, ...digests }, undefined, 2)}\n`);
  } catch {
    return;
  }
}
