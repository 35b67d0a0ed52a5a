/** For tests of whole runs: searches every file of a run for secrets. */

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";

const PRIVATE_KEY = /-----BEGIN [A-Z0-9 ]*PRIVATE KEY/;

/**
 * @param secrets the signatures and private parts of keys of the run (the lines of the file in MESHPROOF_SECRETS_FILE)
 * @returns the files that contain one, or the header of a PEM private key; never the secret itself
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
