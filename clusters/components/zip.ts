/** Unpacks a zip file, such as a wheel. */

import { createWriteStream } from "node:fs";
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { openPromise } from "yauzl";

/**
 * Writes every file of an archive below a folder.
 * @throws Error where it is not a zip file, where a file is encrypted or has another size than it says, and for a name that does not
 *   stay below the folder
 */
export async function unzip(file: string, folder: string): Promise<void> {
  const archive = await openPromise(file, { strictFileNames: true });
  try {
    for await (const entry of archive.eachEntry()) {
      if (entry.fileName.endsWith("/")) continue;
      const to = join(folder, entry.fileName);
      await mkdir(dirname(to), { recursive: true });
      await pipeline(await archive.openReadStreamPromise(entry), createWriteStream(to));
    }
  } finally {
    archive.close();
  }
}
