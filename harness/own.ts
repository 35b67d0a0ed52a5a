/**
 * The only way to open a folder whose content meshproof trusts or runs: everything below the temporary folder, the caches
 * and the state folder is opened by a path that was proved here to be this user's. Another user may have created a folder
 * of that name before, since every user can write to /tmp.
 */
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { MeshproofError } from "./model/errors.ts";

declare const proved: unique symbol;

/**
 * An absolute path without links to a folder that belongs to this user (or to root, if `secret` is not set), that no other
 * user may write to or can replace.
 */
export type OwnFolder = string & { readonly [proved]: true };

/** The parts of a file's status that are checked. */
interface Status {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export interface OwnOptions {
  /** No other user may read it, it must not be root's (unless this user is root), and its path must not end in a link. */
  readonly secret?: boolean;
  /** What to do instead of removing another user's folder, one sentence. */
  readonly hint: string;
}

const STICKY = 0o1000;

/** Hint for a temporary folder. */
export const TEMP_HINT = "set TMPDIR to a folder of your own, which only you may write";

let temp: string | undefined;

/** Read once: TMPDIR may be changed later for a library that needs another folder. */
const tempPlace = (): string => (temp ??= tmpdir());

/** `${TMPDIR:-/tmp}/<name>`, not checked: for messages and names. */
export function placeInTemp(name: string): string {
  return join(tempPlace(), name);
}

/** The temporary folder, in which each user may change only their own files. @throws ERR_FOREIGN_FILE */
export function ownTempFolder(path = tempPlace()): string {
  const { real, status } = walk(path, TEMP_HINT, true);
  if (status === undefined)
    throw new MeshproofError("ERR_FOREIGN_FILE", `the temporary folder ${path} does not exist`, {
      hint: "create it, or set TMPDIR to another folder",
    });
  refuseUnsafeParent(real, status, TEMP_HINT);
  return real;
}

/** A file of the user that meshproof does not write, such as `~/.kube/config`; not checked. */
export function placeInHome(name: string): string {
  return join(homedir(), name);
}

/** The folder in `<variable>` (XDG Base Directory Specification), else the one in the home folder; not checked. */
export function placeOfUser(variable: string, inHome: string, env: NodeJS.ProcessEnv = process.env): string {
  const xdg = env[variable];
  // The specification requires ignoring a relative path.
  return xdg && isAbsolute(xdg) ? xdg : join(env["HOME"] || homedir(), inHome);
}

/**
 * The folder at a path, proved to be this user's; undefined if there is none.
 * @throws ERR_FOREIGN_FILE if it is another user's, or another user may change or replace it
 */
export function findOwnFolder(path: string, { secret = false, hint }: OwnOptions): OwnFolder | undefined {
  const { real, status } = walk(path, hint, !secret);
  if (status === undefined) return undefined;
  if (isLink(status)) throw foreign(`${real} is a link that ${ownerOf(status)} made, not a folder`, hint, real);
  if (!isFolder(status)) throw foreign(`${real} is not a folder (it belongs to ${ownerOf(status)})`, hint, real);
  refuseForeign(real, status, { secret, hint });
  return real as OwnFolder;
}

/** Like {@link findOwnFolder}, but creates the folder and its parents if they are missing. */
export function makeOwnFolder(path: string, options: OwnOptions): OwnFolder {
  const mode = options.secret ? 0o700 : 0o755;
  // Create first, then check: another user cannot replace it in between. Repeat if another process of this user removed
  // it in between.
  for (let tries = 0; tries < 50; tries++) {
    const { real, status } = walk(path, options.hint, true);
    try {
      if (status === undefined) mkdirSync(real, { recursive: true, mode });
    } catch (error) {
      if (codeOf(error) !== "EEXIST" && codeOf(error) !== "ENOENT") throw error;
    }
    const made = findOwnFolder(path, options);
    if (made !== undefined) return made;
  }
  throw foreign(`${path} is removed each time it is created`, options.hint);
}

/**
 * The text of a file in such a folder; undefined if there is none.
 * @throws ERR_FOREIGN_FILE if it is a link or another user's
 */
export function readOwnFile(folder: OwnFolder, name: string, options: OwnOptions): string | undefined {
  const file = join(folder, name);
  let descriptor: number;
  try {
    // A named pipe must not block this, and a link must not be followed.
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    if (codeOf(error) === "ELOOP") throw foreign(`${file} is a link, not a file`, options.hint, file);
    throw error;
  }
  try {
    const status = fstatSync(descriptor);
    if (!status.isFile()) throw foreign(`${file} is not a file`, options.hint, file);
    refuseForeign(file, status, options);
    return readFileSync(descriptor, "utf8");
  } finally {
    closeSync(descriptor);
  }
}

/** Whether a path is this user's and not a link, so that removing it removes nothing elsewhere. */
export function isOwn(path: string): boolean {
  const status = lstat(path);
  return status !== undefined && !isLink(status) && isMine(status.uid);
}

/** Why a file or folder cannot be trusted; undefined if it is this user's or root's and no other user may write to it. */
export function whyForeign(status: Status): string | undefined {
  if (status.uid !== 0 && !isMine(status.uid)) return `belongs to ${ownerOf(status)}`;
  return isWritableByOthers(status) ? `may be written by others (mode ${modeOf(status)})` : undefined;
}

function refuseForeign(path: string, status: Status, { secret = false, hint }: OwnOptions): void {
  if (!isMine(status.uid) && (secret || status.uid !== 0))
    throw foreign(`${path} belongs to ${ownerOf(status)}, not to ${me()}`, hint, path);
  const open = secret ? (status.mode & 0o077) !== 0 : isWritableByOthers(status);
  if (open)
    throw foreign(
      `${path} is open to others: its mode is ${modeOf(status)}, expected ${secret ? "0700" : "no more than 0755"}`,
      `check that no other user put something there, then chmod go-${secret ? "rwx" : "w"} ${path}, or ${hint}`,
    );
}

/** Refuses a parent folder in which another user can rename entries; in a sticky one users can rename only their own. */
function refuseUnsafeParent(path: string, status: Status, hint: string): void {
  if (status.uid !== 0 && !isMine(status.uid) && !isUnmapped(status.uid))
    throw foreign(`${path} belongs to ${ownerOf(status)}, who can replace what is in it`, hint);
  if ((status.mode & STICKY) === 0 && isWritableByOthers(status))
    throw foreign(
      `${path} may be written by others (mode ${modeOf(status)}, not sticky), who can replace what is in it`,
      `chmod go-w ${path}, or chmod +t ${path}, or ${hint}`,
    );
}

interface Walked {
  /** The path without links. */
  readonly real: string;
  /** Undefined if a part of the path is missing. */
  readonly status: (Status & { readonly mode: number }) | undefined;
}

/**
 * Resolves a path from the root as the kernel does, and checks each folder and link.
 * @param follow whether the last part may be a link
 */
function walk(path: string, hint: string, follow: boolean): Walked {
  const parts = (text: string): string[] => text.split("/").filter((part) => part !== "" && part !== ".");
  const left = parts(resolve(path));
  let dir = "/";
  let status: Walked["status"] = lstat(dir);
  for (let links = 0; left.length > 0;) {
    const name = left.shift() ?? "";
    if (status) refuseUnsafeParent(dir, status, hint);
    if (name === "..") {
      dir = dirname(dir);
      status = lstat(dir);
      continue;
    }
    const next = join(dir, name);
    const found = lstat(next);
    if (found === undefined) return { real: join(next, ...left), status: undefined };
    if (isLink(found) && (follow || left.length > 0)) {
      if (found.uid !== 0 && !isMine(found.uid))
        throw foreign(`${next} is a link that ${ownerOf(found)} made, not ${me()}`, hint, next);
      if (++links > 40) throw foreign(`${path} goes from link to link`, hint);
      const target = readlinkSync(next);
      left.unshift(...parts(target));
      if (isAbsolute(target)) {
        dir = "/";
        status = lstat(dir);
      }
      continue;
    }
    dir = next;
    status = found;
  }
  return { real: dir, status };
}

function lstat(path: string): Status | undefined {
  try {
    return lstatSync(path);
  } catch (cause) {
    if (codeOf(cause) === "ENOENT" || codeOf(cause) === "ENOTDIR") return undefined;
    throw new MeshproofError("ERR_FOREIGN_FILE", `${path} cannot be read: ${codeOf(cause)}`, { cause });
  }
}

const isLink = ({ mode }: Status): boolean => (mode & constants.S_IFMT) === constants.S_IFLNK;
const isFolder = ({ mode }: Status): boolean => (mode & constants.S_IFMT) === constants.S_IFDIR;
const modeOf = ({ mode }: Status): string => (mode & 0o7777).toString(8).padStart(4, "0");

/** Without user ids (Windows), access rights protect the home folder. */
const isMine = (uid: number): boolean => process.getuid === undefined || uid === process.getuid();

/** In a user namespace every unmapped user has this uid, the machine's root too. */
function isUnmapped(uid: number): boolean {
  if (uid !== 65534 || process.platform !== "linux") return false;
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
}

function isWritableByOthers({ mode, gid }: Status): boolean {
  if (process.platform === "win32") return false;
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && !isPrivateGroup(gid));
}

/** Whether the group has only this user: many distributions create such a group, with a umask that allows group writes. */
function isPrivateGroup(gid: number): boolean {
  const uid = process.getuid?.() ?? -1;
  const lines = (file: string): string[][] => {
    try {
      return readFileSync(file, "utf8")
        .split("\n")
        .map((line) => line.split(":"));
    } catch {
      return [];
    }
  };
  const group = lines("/etc/group").find(([, , id]) => id !== undefined && id !== "" && Number(id) === gid);
  if (group === undefined) return false;
  const users = lines("/etc/passwd").filter(([, , id]) => id !== undefined && id !== "");
  const own = users.filter(([, , id]) => Number(id) === uid).map(([name]) => name);
  const members = (group[3] ?? "").split(",").filter((name) => name !== "");
  // A group without members may get some later: it must be this user's primary group.
  const mine = users.some(([, , id, primary]) => Number(id) === uid && Number(primary) === gid);
  const others = users.some(([, , id, primary]) => Number(id) !== uid && Number(primary) === gid);
  return mine && !others && members.every((name) => own.includes(name));
}

function ownerOf({ uid }: Status): string {
  return nameOf(uid);
}

const me = (): string => nameOf(process.getuid?.() ?? -1);

function nameOf(uid: number): string {
  if (uid === 0) return "root";
  try {
    const line = readFileSync("/etc/passwd", "utf8")
      .split("\n")
      .map((text) => text.split(":"))
      .find(([, , id]) => Number(id) === uid);
    if (line?.[0] !== undefined) return `${line[0]} (uid ${uid})`;
  } catch {
    // The file cannot be read: the number has to do.
  }
  return `uid ${uid}`;
}

/** @param made a path that another user may have created, for the hint to check and remove it */
function foreign(message: string, hint: string, made?: string): MeshproofError {
  return new MeshproofError("ERR_FOREIGN_FILE", `${message}; nothing in it was read or run`, {
    hint: made === undefined ? hint : `find out who created it (ls -ld ${made}) and remove it, or ${hint}`,
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
