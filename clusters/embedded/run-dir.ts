import { spawn } from "node:child_process";
import { closeSync, constants, fstatSync, ftruncateSync, openSync, writeSync } from "node:fs";
import { readdir, readFile, rm, rmdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import { findOwnFolder, makeOwnFolder, placeInTemp, TEMP_HINT, type OwnFolder } from "../../harness/own.ts";

/**
 * Paths of the files of one cluster. All its other files are on a tmpfs in its mount namespace and end with it.
 */
export interface RunPaths {
  readonly name: string;
  readonly path: string;
  /** Locked by every process in the cluster's namespaces, so that the lock shows whether the cluster runs. */
  readonly lock: string;
  /** A Unix socket of the supervisor. */
  readonly control: string;
  readonly kubeconfig: string;
  /** Facts for other processes to attach, written once the cluster is complete. */
  readonly facts: string;
  /** Why the cluster ended by itself. */
  readonly ended: string;
  readonly logs: string;
  /** The mount point of the tmpfs; on the host an empty folder. */
  readonly state: string;
  readonly jwksAuthority: { readonly certificate: string; readonly privateKey: string };
}

/** The files of one cluster in a folder that is proved to be this user's alone: only these are read and run. */
export type RunDir = RunPaths & { readonly path: OwnFolder };

const NAME = /^[a-z0-9]([-a-z0-9]{0,30}[a-z0-9])?$/;

/** A longer path does not fit into a Unix socket's address (unix(7): 108 bytes with the final zero). */
const LONGEST_SOCKET_PATH = 107;

/** flock(1)'s exit code if another process has the lock. */
const TAKEN = 75;

const SECRET = { secret: true, hint: TEMP_HINT } as const;

/** `${TMPDIR:-/tmp}/meshproof-<uid>`, not checked: another user may have created it. */
export function baseDir(): string {
  return placeInTemp(`meshproof-${process.getuid?.() ?? "user"}`);
}

/**
 * The paths of a cluster's files, without accessing them.
 * @throws ERR_USAGE if the name is not a DNS label of at most 32 characters.
 */
export function runDirOf(name: string, base = baseDir()): RunPaths {
  if (!NAME.test(name)) {
    throw new MeshproofError("ERR_USAGE", `"${name}" cannot be the name of a cluster`, {
      hint: "use at most 32 lower-case letters, digits and dashes, such as the default name, meshproof",
    });
  }
  const path = join(base, name);
  const at = (file: string): string => join(path, file);
  return {
    name,
    path,
    lock: at("lock"),
    control: at("control.sock"),
    kubeconfig: at("kubeconfig"),
    facts: at("cluster.json"),
    ended: at("ended.txt"),
    logs: at("logs"),
    state: at("state"),
    jwksAuthority: { certificate: at("jwks-ca.crt"), privateKey: at("jwks-ca.key") },
  };
}

/**
 * The folder of a cluster; undefined if there is none.
 * @throws ERR_USAGE like {@link runDirOf}; ERR_FOREIGN_FILE if it, or the folder of all clusters, is not this user's alone.
 */
export function findRunDir(name: string, base = baseDir()): RunDir | undefined {
  const own = findOwnFolder(base, SECRET);
  const paths = runDirOf(name, own ?? base);
  const path = own === undefined ? undefined : findOwnFolder(paths.path, SECRET);
  return path === undefined ? undefined : { ...paths, path };
}

/** Like {@link findRunDir}, but creates the folder if it does not exist. */
function makeRunDir(paths: RunPaths): RunDir {
  const own = makeOwnFolder(join(paths.path, ".."), SECRET);
  const there = runDirOf(paths.name, own);
  return { ...there, path: makeOwnFolder(there.path, SECRET) };
}

/** A lock on a run dir, held by an open file: a process that inherits the file holds the lock too. */
export interface Claim {
  readonly dir: RunDir;
  readonly fd: number;
  release(): void;
}

/**
 * Claims a cluster's name: creates its folder and locks it.
 * @param waitSeconds how long to wait for a cluster that is just ending
 * @returns undefined if a cluster of this name runs.
 * @throws ERR_FOREIGN_FILE if the folder is not this user's alone.
 */
export async function claim(paths: RunPaths, waitSeconds = 0): Promise<Claim | undefined> {
  for (;;) {
    const dir = makeRunDir(paths);
    if (Buffer.byteLength(dir.control) > LONGEST_SOCKET_PATH) {
      throw new MeshproofError("ERR_CLUSTER_START", `the path ${dir.control} is too long for a socket`, {
        hint: "set TMPDIR to a folder with a shorter path",
      });
    }
    let fd: number;
    try {
      fd = openSync(dir.lock, constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_NOFOLLOW, 0o600);
    } catch (error) {
      if (codeOf(error) === "ENOENT") continue; // the folder of an ended cluster was just removed
      throw error;
    }
    const release = (): void => closeSync(fd);
    if (!(await lockDescriptor(fd, waitSeconds))) {
      release();
      return undefined;
    }
    // The file may have been removed before it was locked; then the lock has no effect.
    const current = await stat(dir.lock).catch(() => undefined);
    if (current?.ino === fstatSync(fd).ino) {
      ftruncateSync(fd);
      return { dir, fd, release };
    }
    release();
  }
}

/** Writes the pid of unshare to the lock file; unshare holds the lock while it runs. */
export function writeHolder(claim: Claim, pid: number): void {
  ftruncateSync(claim.fd);
  writeSync(claim.fd, String(pid));
}

/** The unshare process of a running cluster; undefined before it starts, and if another program has its pid. */
export async function readHolder(dir: RunDir): Promise<number | undefined> {
  const pid = Number(await readFile(dir.lock, "utf8").catch(() => ""));
  const command = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return /^(setpriv|unshare)\0/.test(command) && command.includes(`"name":"${dir.name}"`) ? pid : undefined;
}

/** Removes the folders of all dead clusters. */
export async function sweepDead(base = baseDir()): Promise<void> {
  for (const name of await runDirNames(base)) {
    const dir = findRunDir(name, base);
    if (dir === undefined) continue;
    // Without logs the cluster is being started and not locked yet.
    const launched = await stat(dir.logs).catch(() => undefined);
    const dead = launched && (await claim(dir));
    if (dead) await removeRunDir(dir);
    dead?.release();
  }
}

/** Removes the files of a dead cluster; only with its claim. */
export async function sweep(dir: RunDir): Promise<void> {
  for (const entry of await readdir(dir.path)) {
    if (join(dir.path, entry) !== dir.lock) await rm(join(dir.path, entry), { recursive: true, force: true });
  }
}

/** Removes the whole folder of a dead cluster, and the base folder with the last one; only with its claim. */
export async function removeRunDir(dir: RunDir): Promise<void> {
  await rm(dir.path, { recursive: true, force: true });
  await rmdir(join(dir.path, "..")).catch(() => undefined);
}

/** The names of all clusters with a folder, running or not. @throws ERR_FOREIGN_FILE if the base folder is not this user's alone. */
export async function runDirNames(base = baseDir()): Promise<string[]> {
  const own = findOwnFolder(base, SECRET);
  const entries = own === undefined ? [] : await readdir(own, { withFileTypes: true }).catch(() => []);
  return entries.filter((entry) => entry.isDirectory() && NAME.test(entry.name)).map((entry) => entry.name);
}

/** Locks a descriptor with flock(1), which inherits the open file; the lock stays when flock ends. */
function lockDescriptor(fd: number, waitSeconds: number): Promise<boolean> {
  const how = waitSeconds > 0 ? ["--wait", String(waitSeconds)] : ["--nonblock"];
  const child = spawn("flock", [...how, "--conflict-exit-code", String(TAKEN), "3"], {
    stdio: ["ignore", "ignore", "ignore", fd],
  });
  return new Promise((resolve, reject) => {
    child.once("error", (cause) =>
      reject(new MeshproofError("ERR_MISSING_PROGRAM", "flock of util-linux cannot be run", { cause })),
    );
    child.once("exit", (code) => {
      if (code === 0) resolve(true);
      else if (code === TAKEN) resolve(false);
      else reject(new MeshproofError("ERR_CLUSTER_START", `flock ended with ${code}`));
    });
  });
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}
