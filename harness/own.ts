/**
 * The only way to a folder whose content this program believes or runs: everything below the temporary folder, the caches
 * and the state folder is opened by a path that was proved here to be this user's. Anybody may have made a folder of that
 * name before: /tmp is everybody's.
 */
import { closeSync, constants, fstatSync, lstatSync, mkdirSync, openSync, readFileSync, readlinkSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { dirname, isAbsolute, join, resolve } from "node:path";
import { MeshproofError } from "./model/errors.ts";

declare const proved: unique symbol;

/**
 * An absolute path without links: a folder that belongs to this user (or to root, where that will do), that nobody else may
 * write, below folders in which nobody else can put another one in its place.
 */
export type OwnFolder = string & { readonly [proved]: true };

/** What of a file's status is looked at. */
interface Status {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

export interface OwnOptions {
  /** Nobody else may even look into it, root's will not do, and no link leads to it. */
  readonly secret?: boolean;
  /** What to do instead of removing somebody else's folder, one sentence. */
  readonly hint: string;
}

const STICKY = 0o1000;

/** What to do about a temporary folder. */
export const TEMP_HINT = "set TMPDIR to a folder of your own, which only you may write";

let temp: string | undefined;

/** As it was when it was first asked for: a library that needs another one is given it by TMPDIR. */
const tempPlace = (): string => (temp ??= tmpdir());

/** `${TMPDIR:-/tmp}/<name>`, not looked at: for messages and names. */
export function placeInTemp(name: string): string {
  return join(tempPlace(), name);
}

/** The temporary folder itself, where everybody may have folders but only change their own. @throws ERR_FOREIGN_FILE */
export function ownTempFolder(path = tempPlace()): string {
  const { real, status } = walk(path, TEMP_HINT, true);
  if (status === undefined)
    throw new MeshproofError("ERR_FOREIGN_FILE", `the temporary folder ${path} does not exist`, {
      hint: "make it, or set TMPDIR to another folder",
    });
  refuseUnsafeParent(real, status, TEMP_HINT);
  return real;
}

/** The user's own files, such as `~/.kube/config`, which meshproof does not write; not looked at. */
export function placeInHome(name: string): string {
  return join(homedir(), name);
}

/** `<variable>`, by the XDG Base Directory Specification, else the folder in the home folder; not looked at. */
export function placeOfUser(variable: string, inHome: string, env: NodeJS.ProcessEnv = process.env): string {
  const xdg = env[variable];
  // A relative path there is invalid and to be ignored.
  return xdg && isAbsolute(xdg) ? xdg : join(env["HOME"] || homedir(), inHome);
}

/**
 * The folder at a path, proved to be this user's; undefined where there is none.
 * @throws ERR_FOREIGN_FILE where it is somebody else's, or somebody else may change it or put another in its place
 */
export function findOwnFolder(path: string, { secret = false, hint }: OwnOptions): OwnFolder | undefined {
  const { real, status } = walk(path, hint, !secret);
  if (status === undefined) return undefined;
  if (isLink(status)) throw foreign(`${real} is a link that ${ownerOf(status)} made, not a folder`, hint, real);
  if (!isFolder(status)) throw foreign(`${real} is not a folder (it belongs to ${ownerOf(status)})`, hint, real);
  refuseForeign(real, status, { secret, hint });
  return real as OwnFolder;
}

/** As {@link findOwnFolder}; makes it where it is not there, and what is missing above it. */
export function makeOwnFolder(path: string, options: OwnOptions): OwnFolder {
  const mode = options.secret ? 0o700 : 0o755;
  // Made first and looked at afterwards: nobody can put another in its place in between. Again where another process of
  // this user took it away meanwhile.
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
  throw foreign(`${path} is removed as often as it is made`, options.hint);
}

/**
 * The text of a file in such a folder; undefined where there is none.
 * @throws ERR_FOREIGN_FILE where it is a link or somebody else's
 */
export function readOwnFile(folder: OwnFolder, name: string, options: OwnOptions): string | undefined {
  const file = join(folder, name);
  let descriptor: number;
  try {
    // Not blocked by a named pipe, not led away by a link.
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

/** Whether what is at a path is this user's and not a link: nobody else can lead its removal elsewhere. */
export function isOwn(path: string): boolean {
  const status = lstat(path);
  return status !== undefined && !isLink(status) && isMine(status.uid);
}

/** Why a file or folder cannot be trusted; undefined where it can: this user's or root's, and nobody else may write it. */
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

/** A folder above: who may write it can rename what is in it, unless it is sticky and then only one's own. */
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
  /** Without links. */
  readonly real: string;
  /** Of what is there; undefined where something on the way is missing. */
  readonly status: (Status & { readonly mode: number }) | undefined;
}

/**
 * Goes from the root to a path as the kernel would, and looks at each folder and link on the way.
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
      if (++links > 40) throw foreign(`${path} leads from link to link`, hint);
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
    throw new MeshproofError("ERR_FOREIGN_FILE", `${path} cannot be looked at: ${codeOf(cause)}`, { cause });
  }
}

const isLink = ({ mode }: Status): boolean => (mode & constants.S_IFMT) === constants.S_IFLNK;
const isFolder = ({ mode }: Status): boolean => (mode & constants.S_IFMT) === constants.S_IFDIR;
const modeOf = ({ mode }: Status): string => (mode & 0o7777).toString(8).padStart(4, "0");

/** Where there are no user ids (Windows), a home folder is the user's by its own rules. */
const isMine = (uid: number): boolean => process.getuid === undefined || uid === process.getuid();

/** In a user namespace every user that has no number there has this one; the machine's root is one of them. */
function isUnmapped(uid: number): boolean {
  if (uid !== 65534 || process.platform !== "linux") return false;
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync("/proc/self/uid_map", "latin1"));
}

function isWritableByOthers({ mode, gid }: Status): boolean {
  if (process.platform === "win32") return false;
  return (mode & 0o002) !== 0 || ((mode & 0o020) !== 0 && !isPrivateGroup(gid));
}

/** Whether this user is alone in a group: many distributions give each user one, and a umask that lets it write. */
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
  // A group without anybody in it may get somebody: it must be the one that this user has.
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
    // Then by the number.
  }
  return `uid ${uid}`;
}

/** @param made what somebody else may have put there, to be looked at and removed */
function foreign(message: string, hint: string, made?: string): MeshproofError {
  return new MeshproofError("ERR_FOREIGN_FILE", `${message}; nothing in it was read or run`, {
    hint: made === undefined ? hint : `see who made it (ls -ld ${made}) and remove it, or ${hint}`,
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
