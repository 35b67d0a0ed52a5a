import { lstat, rename, rm, symlink } from "node:fs/promises";
import path from "node:path";

/** Points the link `latest` beside the run's folder to the run, atomically, so that it is never missing. A failure is only a note. */
export async function pointLatest(folder: string, note: (text: string) => void): Promise<void> {
  const link = path.join(path.dirname(folder), "latest");
  const fresh = `${link}.${process.pid}`;
  try {
    await rm(fresh, { force: true });
    await symlink(path.basename(folder), fresh);
    await rename(fresh, link);
  } catch (error) {
    await rm(fresh, { force: true }).catch(() => undefined);
    const isFolder = await lstat(link).then(
      (found) => found.isDirectory(),
      () => false,
    );
    const why = isFolder ? "it is a folder, not a link" : (error as Error).message;
    note(`${path.relative("", link)} does not point to this run: ${why}`);
  }
}
