import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path/posix";
import type { Payload } from "./payload.ts";

const DATA = "..data";

/**
 * Brings a volume's directory to a payload so that a reader sees the old files or the new ones, never a mixture: files
 * live in a directory with a time in its name, `..data` points to it, and one rename swaps it (the kubelet's AtomicWriter).
 * @param group the pod's fsGroup: may read everything
 * @returns whether something changed
 */
export function writeAtomically(dir: string, payload: Payload, group: number | undefined): boolean {
  const old = currentDir(dir);
  if (old !== undefined && isSame(join(dir, old), payload, group)) return false;

  const fresh = mkdtempSync(join(dir, `..${new Date().toISOString().replace(/[-T:]/g, "_").slice(0, 19)}.`));
  chmodSync(fresh, 0o755);
  for (const [path, { data, mode }] of payload) {
    const file = join(fresh, path);
    mkdirSync(dirname(file), { recursive: true, mode: 0o755 });
    writeFileSync(file, data);
    chmodSync(file, fileMode(mode, group));
    if (group !== undefined) chownSync(file, 0, group);
  }
  rmSync(join(dir, `${DATA}_tmp`), { force: true });
  symlinkSync(fresh.slice(dir.length + 1), join(dir, `${DATA}_tmp`));
  renameSync(join(dir, `${DATA}_tmp`), join(dir, DATA));

  const visible = new Set([...payload.keys()].map((path) => path.split("/")[0]!));
  // Only what an earlier payload brought: mount points of nested volumes stay.
  for (const name of old === undefined ? [] : readdirSync(join(dir, old)))
    if (!visible.has(name)) rmSync(join(dir, name), { force: true });
  for (const name of visible)
    if (!lstatSync(join(dir, name), { throwIfNoEntry: false })) symlinkSync(join(DATA, name), join(dir, name));
  if (old !== undefined) rmSync(join(dir, old), { recursive: true, force: true });
  return true;
}

function currentDir(dir: string): string | undefined {
  try {
    return readlinkSync(join(dir, DATA));
  } catch {
    return undefined;
  }
}

function isSame(dir: string, payload: Payload, group: number | undefined): boolean {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  if (files.length !== payload.size) return false;
  for (const [path, { data, mode }] of payload) {
    const file = join(dir, path);
    const stat = lstatSync(file, { throwIfNoEntry: false });
    if (!stat?.isFile() || (stat.mode & 0o777) !== fileMode(mode, group) || !readFileSync(file).equals(data))
      return false;
  }
  return true;
}

function fileMode(mode: number, group: number | undefined): number {
  return group === undefined ? mode : mode | 0o440;
}
