import { rename, rm, writeFile } from "node:fs/promises";

/**
 * Writes a file whole or not at all, also where another process writes the same one at this moment.
 * @throws what the file system says; nothing half is left then
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
