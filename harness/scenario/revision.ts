import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import type { ManifestFile } from "../model/manifest.ts";

/**
 * A hash of a folder of scenarios: the same on every machine with the same files. It includes issuers and workloads, but not
 * hidden files, which an editor may leave.
 * @param own the policies that scenarios take from elsewhere in the repository
 */
export async function revisionOf(
  root: string,
  own: readonly Pick<ManifestFile, "file" | "text">[] = [],
): Promise<string> {
  const entries = await readdir(root, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(root, path.join(entry.parentPath, entry.name)))
    .filter((file) => !file.split(path.sep).some((part) => part.startsWith(".")))
    .sort();
  const hash = createHash("sha256");
  for (const file of files) {
    const content = await readFile(path.join(root, file));
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  for (const { file, text } of own) hash.update(`${file}\0${text.length}\0`).update(text);
  return hash.digest("hex").slice(0, 16);
}
