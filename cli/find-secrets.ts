/** For tests of whole runs: looks for secrets in every file that a run wrote. */

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/;

/**
 * @param secrets the signatures and private parts of keys of the run (the file that MESHPROOF_SECRETS_FILE names, line by line)
 * @returns the files that hold one, or the head of a PEM private key; never the secret itself
 */
export async function findSecrets(folder: string, secrets: readonly string[]): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile()).map((entry) => path.join(entry.parentPath, entry.name));
  const found = await Promise.all(
    files.map(async (file) => {
      const text = await readFile(file, "latin1");
      const number = secrets.findIndex((secret) => text.includes(secret));
      if (number >= 0) return [`${path.relative(folder, file)} holds secret ${number + 1} of ${secrets.length}`];
      return PRIVATE_KEY.test(text) ? [`${path.relative(folder, file)} holds a private key`] : [];
    }),
  );
  return found.flat().sort();
}
