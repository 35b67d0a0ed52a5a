import { createHash } from "node:crypto";
import { lstatSync, readlinkSync } from "node:fs";
import { open, readdir, utimes } from "node:fs/promises";
import { join } from "node:path";

import { whyForeign } from "../../harness/own.ts";

/** One file, link or directory below a component's folder, as it was when the component was built. */
export interface FileFact {
  /** Relative to the folder. */
  readonly path: string;
  readonly kind: "file" | "program" | "link" | "directory";
  /** Bytes; 0 for what is not a file. */
  readonly size: number;
  /** Milliseconds; 0 for what is not a file. */
  readonly mtime: number;
  /** Hexadecimal SHA-256 of a file's content; the target of a link; empty for a directory. */
  readonly content: string;
}

const BUFFER_BYTES = 1 << 20;

/** Hexadecimal SHA-256 of a file's content. */
export async function sha256OfFile(path: string): Promise<string> {
  const hash = createHash("sha256");
  const buffer = Buffer.allocUnsafe(BUFFER_BYTES);
  await using file = await open(path);
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, BUFFER_BYTES);
    if (bytesRead === 0) return hash.digest("hex");
    hash.update(buffer.subarray(0, bytesRead));
  }
}

/** A fact as it is now. */
interface Seen {
  readonly fact: FileFact;
  /** Why another user may have changed it. */
  readonly foreign: string | undefined;
}

/** Everything below `dir` in the order of the paths, without the files' contents. */
async function walk(dir: string): Promise<Seen[]> {
  const entries = await readdir(dir, { recursive: true, withFileTypes: true });
  const seen = entries.map((entry): Seen => {
    const full = join(entry.parentPath, entry.name);
    const path = full.slice(dir.length + 1);
    const status = lstatSync(full);
    const { mode, size, mtimeMs } = status;
    const none = { size: 0, mtime: 0, content: "" };
    if (entry.isDirectory())
      return { fact: { path, kind: "directory", ...none }, foreign: whyForeign(mode & STICKY ? safe(status) : status) };
    // The mode of a link itself has no meaning.
    if (entry.isSymbolicLink())
      return { fact: { path, kind: "link", ...none, content: readlinkSync(full) }, foreign: whyForeign(safe(status)) };
    const kind = mode & 0o100 ? "program" : "file";
    return { fact: { path, kind, size, mtime: Math.floor(mtimeMs), content: "" }, foreign: whyForeign(status) };
  });
  return seen.sort((a, b) => (a.fact.path < b.fact.path ? -1 : 1));
}

const STICKY = 0o1000;

/** The owner and mode of a file that no other user can write to. */
const safe = ({ uid, gid }: { uid: number; gid: number }) => ({ uid, gid, mode: 0 });

const isFile = (fact: FileFact) => fact.kind === "file" || fact.kind === "program";

/** Everything below `dir`, each file read and hashed. */
export async function describeTree(dir: string): Promise<FileFact[]> {
  const facts = [];
  for (const { fact } of await walk(dir))
    facts.push(isFile(fact) ? { ...fact, content: await sha256OfFile(join(dir, fact.path)) } : fact);
  return facts;
}

/** `sha256:…` over kinds, contents and paths: the same files give the same digest, independent of folder and time. */
export function digestOfTree(facts: readonly FileFact[]): string {
  const hash = createHash("sha256");
  for (const { kind, content, path } of facts) hash.update(`${kind}\0${content}\0${path}\n`);
  return `sha256:${hash.digest("hex")}`;
}

export const bytesOfTree = (facts: readonly FileFact[]) => facts.reduce((sum, fact) => sum + fact.size, 0);

/**
 * Says how `dir` differs from what was recorded, or undefined if it does not. Looks at names, owners, kinds, link targets, sizes
 * and times; reads a file only if its time alone differs (a cache that was copied), or every file if `full`. A file that
 * proves good gets its recorded time back, where that is allowed, so that it is read once.
 */
export async function findDamage(
  dir: string,
  recorded: readonly FileFact[],
  full = false,
): Promise<string | undefined> {
  const before = new Map(recorded.map((fact) => [fact.path, fact]));
  for (const { fact: now, foreign } of await walk(dir)) {
    const then = before.get(now.path);
    if (!then) return `${now.path} does not belong there`;
    if (foreign !== undefined) return `${now.path} ${foreign}`;
    before.delete(now.path);
    if (now.kind !== then.kind) return `${now.path} is a ${now.kind}, was a ${then.kind}`;
    if (now.size !== then.size) return `${now.path} has ${now.size} bytes, had ${then.size}`;
    if (!isFile(now)) {
      if (now.content !== then.content) return `${now.path} points to ${now.content}, pointed to ${then.content}`;
    } else if (full || now.mtime !== then.mtime) {
      const file = join(dir, now.path);
      if ((await sha256OfFile(file)) !== then.content) return `${now.path} has other content`;
      // Half a millisecond more: the time is rounded down when it is read.
      const time = (then.mtime + 0.5) / 1000;
      if (now.mtime !== then.mtime) await utimes(file, time, time).catch(() => undefined);
    }
  }
  const [missing] = before.keys();
  return missing === undefined ? undefined : `${missing} is missing`;
}
