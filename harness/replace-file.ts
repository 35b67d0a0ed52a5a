import { rename, rm, writeFile } from "node:fs/promises";

/**
 * Writes a file atomically, also if another process writes the same file.
 * @throws the file system's error; no partial file is left then
 */
export async function replaceFile(file: string, text: string, mode = 0o644): Promise<void> {
  const temporary = `${file}.${process.pid}`;
  try {
    await writeFile(temporary, text, { mode });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}
