import { createHash } from "node:crypto";
import {
  access,
  chmod,
  constants,
  lstat,
  mkdir,
  mkdtemp,
  readFile,
  readdir,
  realpath,
  rename,
  rm,
  writeFile,
} from "node:fs/promises";
import { join } from "node:path";

import { replaceFile } from "../../harness/replace-file.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { findOwnFolder, makeOwnFolder, whyForeign } from "../../harness/own.ts";
import type { Progress } from "../../harness/progress.ts";
import { CACHE_HINT } from "./cache.ts";
import { withLock } from "./lock.ts";
import { bytesOfTree, describeTree, digestOfTree, type FileFact, findDamage } from "./manifest.ts";
import type { Recipe } from "./recipe.ts";
import { run } from "./run.ts";

/** Raised when the layout of an entry changes, so that older entries are not looked at. */
const FORMAT = 1;
const TICK_MS = 15_000;

/** A component in the cache. */
export interface InstalledComponent {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  /** `sha256:…` over all files. */
  readonly digest: string;
  readonly bytes: number;
  /** ISO 8601. */
  readonly builtAt: string;
  /** When every byte was last read and compared with the digest, ISO 8601; undefined where that was only when it was built. */
  readonly verifiedAt?: string;
  /** Facts that only the build knows: versions of Debian packages, Go's version. */
  readonly details: Readonly<Record<string, string>>;
  /** Names of its programs, which lie in `bin`. */
  readonly programs: readonly string[];
  /** Absolute path of its files, without links: a pod reaches it below another root, where a link would lead elsewhere. */
  readonly dir: string;
}

/** What is written down of a component. */
export type EntryDescription = Omit<InstalledComponent, "dir">;

export type EntryState =
  | { readonly state: "present"; readonly component: InstalledComponent }
  | { readonly state: "missing" }
  | { readonly state: "corrupt"; readonly damage: string };

export interface EntryOptions {
  /** The cache's folder. */
  readonly cache: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** `<name>-<key>`: the key is a hash of everything that goes into the component. */
export async function entryName(recipe: Recipe): Promise<string> {
  const parts = [`${FORMAT}`, recipe.name, recipe.version, process.arch, ...(await recipe.inputs())];
  const key = createHash("sha256").update(JSON.stringify(parts)).digest("hex").slice(0, 16);
  return `${recipe.name}-${key}`;
}

const componentsDir = (cache: string) => join(cache, "components");
/** Lock for building or removing the entry. */
export const lockOf = (cache: string, name: string) => join(componentsDir(cache), ".locks", name);

/**
 * Checks an entry: owners, sizes, times and links, or every byte if `full`, and then the digest of the bytes. Changes
 * nothing except times that a copy lost.
 * @throws MeshproofError ERR_COMPONENT if the cache cannot be read, ERR_FOREIGN_FILE if another user may write to it
 */
export async function inspectEntry(cache: string, name: string, full = false): Promise<EntryState> {
  const dir = join(findOwnFolder(componentsDir(cache), { hint: CACHE_HINT }) ?? componentsDir(cache), name);
  for (const part of ["", "component.json", "files.json", "files"]) {
    const status = await lstat(join(dir, part)).catch(() => undefined);
    const foreign = status && whyForeign(status);
    if (foreign !== undefined) return { state: "corrupt", damage: `${part || name} ${foreign}` };
  }
  let recorded: { component: EntryDescription; files: FileFact[] };
  try {
    recorded = {
      component: JSON.parse(await readFile(join(dir, "component.json"), "utf8")),
      files: JSON.parse(await readFile(join(dir, "files.json"), "utf8")),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return { state: "corrupt", damage: "its description is not JSON" };
    if ((error as NodeJS.ErrnoException).code !== "ENOENT")
      throw new MeshproofError("ERR_COMPONENT", `the cache ${cache} cannot be read: ${(error as Error).message}`, {
        hint: "name a folder of your own in MESHPROOF_CACHE",
        cause: error,
      });
    const exists = await access(dir).then(
      () => true,
      () => false,
    );
    return exists ? { state: "corrupt", damage: "its description is missing" } : { state: "missing" };
  }
  const files = join(dir, "files");
  const damage =
    (await findDamage(files, recorded.files, full).catch((error: Error) => error.message)) ??
    // By what was recorded of the files, which is what they are.
    (full && digestOfTree(recorded.files) !== recorded.component.digest
      ? `its digest is ${digestOfTree(recorded.files)}, not ${recorded.component.digest} as in its description`
      : undefined);
  return damage === undefined
    ? { state: "present", component: { ...recorded.component, dir: await realpath(files) } }
    : { state: "corrupt", damage };
}

/**
 * Writes down that all bytes of an entry have just been compared. A cache that this user cannot write stays as it is.
 * @returns the component with the time
 */
export async function recordVerified(
  cache: string,
  name: string,
  component: InstalledComponent,
): Promise<InstalledComponent> {
  const verified = { ...component, verifiedAt: new Date().toISOString() };
  const { dir: _dir, ...description } = verified;
  const file = join(componentsDir(cache), name, "component.json");
  try {
    await replaceFile(file, JSON.stringify(description, undefined, 2) + "\n");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EACCES" && code !== "EROFS" && code !== "EPERM") throw error;
  }
  return verified;
}

/** The descriptions of a component's entries in the cache, damaged or not, by the entries' names. */
export async function describedEntries(cache: string, component: string): Promise<Map<string, EntryDescription>> {
  const found = new Map<string, EntryDescription>();
  for (const name of await readdir(componentsDir(cache)).catch(() => [])) {
    if (!new RegExp(`^${RegExp.escape(component)}-[0-9a-f]{16}$`).test(name)) continue;
    const text = await readFile(join(componentsDir(cache), name, "component.json"), "utf8").catch(() => "{}");
    const described = parseDescription(text);
    if (described?.name === component) found.set(name, described);
  }
  return found;
}

function parseDescription(text: string): EntryDescription | undefined {
  try {
    return JSON.parse(text) as EntryDescription;
  } catch {
    return undefined; // inspecting the entry itself reports the error
  }
}

/**
 * The component of a recipe, built if it is not in the cache or damaged there. A finished entry is used without
 * writing anything, so a cache that another user filled works. Builders of the same entry take turns.
 *
 * @throws MeshproofError ERR_COMPONENT if the build fails or the cache cannot be written, ERR_INTERRUPTED.
 */
export async function ensureEntry(recipe: Recipe, options: EntryOptions): Promise<InstalledComponent> {
  const component = await findOrBuild(recipe, options);
  await recipe.installed?.();
  return component;
}

async function findOrBuild(recipe: Recipe, options: EntryOptions): Promise<InstalledComponent> {
  const { cache, progress, signal } = options;
  const title = `${recipe.name} ${recipe.version}`;
  const name = await entryName(recipe);
  const before = await inspectEntry(cache, name);
  if (before.state === "present") return before.component;

  const components = componentsDir(cache);
  try {
    makeOwnFolder(components, { hint: CACHE_HINT });
    await access(components, constants.W_OK);
  } catch (cause) {
    if (cause instanceof MeshproofError) throw cause;
    throw new MeshproofError(
      "ERR_COMPONENT",
      `${title} is ${before.state} in the cache ${cache}, which this user cannot write`,
      { hint: "run meshproof once as the cache's owner, or name another folder in MESHPROOF_CACHE", cause },
    );
  }
  const onWait = (pid: string) => progress(`waiting for another meshproof (process ${pid}) to build ${title} …`);
  return withLock(lockOf(cache, name), { onWait, signal }, async () => {
    const now = await inspectEntry(cache, name);
    if (now.state === "present") return now.component;
    if (now.state === "corrupt") progress(`${title} in the cache is damaged (${now.damage}); building it again`);
    return buildEntry(recipe, name, options);
  });
}

/** Builds under the lock, in a sibling folder; only a complete build gets the entry's name. */
async function buildEntry(recipe: Recipe, name: string, options: EntryOptions): Promise<InstalledComponent> {
  const { cache, progress, signal } = options;
  const title = `${recipe.name} ${recipe.version}`;
  const components = componentsDir(cache);
  const final = join(components, name);
  const temporary = `.${name}.`;
  // Whoever made these no longer holds the lock, so is dead.
  for (const left of await readdir(components))
    if (left.startsWith(temporary)) await removeTree(join(components, left));

  const started = performance.now();
  const elapsed = () => formatSeconds((performance.now() - started) / 1000);
  progress(`building ${title} (${recipe.effort}) …`);
  const ticker = setInterval(() => progress(`building ${title} … ${elapsed()}`), TICK_MS);
  const dir = await mkdtemp(join(components, temporary));
  try {
    const [files, work, entry] = [join(dir, "files"), join(dir, "work"), join(dir, "entry")];
    const log = join(cache, "logs", `${name}.log`);
    // With any umask, other users must not be able to write programs that are executed.
    for (const made of [files, work, entry, join(cache, "logs")]) await mkdir(made, { recursive: true, mode: 0o755 });
    await writeFile(log, `${title}, ${new Date().toISOString()}\n`);
    const details = await recipe.build({
      files,
      work,
      cache,
      signal,
      progress,
      run: (command, more) => run(command, { ...more, log, signal }),
    });
    await makeReadable(files);
    const facts = await describeTree(files);
    const component = {
      name: recipe.name,
      version: recipe.version,
      source: recipe.source,
      digest: digestOfTree(facts),
      bytes: bytesOfTree(facts),
      builtAt: new Date().toISOString(),
      details,
      programs: facts.flatMap(({ path, kind }) =>
        kind === "program" && /^bin\/[^/]+$/.test(path) ? [path.slice(4)] : [],
      ),
    };
    await rename(files, join(entry, "files"));
    const mode = 0o644;
    await writeFile(join(entry, "files.json"), JSON.stringify(facts), { mode });
    await writeFile(join(entry, "component.json"), JSON.stringify(component, undefined, 2) + "\n", { mode });
    signal?.throwIfAborted();
    await removeTree(final);
    await rename(entry, final);
    progress(`built ${title} in ${elapsed()}`);
    return { ...component, dir: await realpath(join(final, "files")) };
  } catch (cause) {
    if (signal?.aborted) throw new MeshproofError("ERR_INTERRUPTED", `interrupted while building ${title}`, { cause });
    if (cause instanceof MeshproofError)
      throw new MeshproofError(cause.code, `${title} cannot be built: ${cause.message}`, {
        ...(cause.hint === undefined ? {} : { hint: cause.hint }),
        cause,
      });
    throw new MeshproofError("ERR_COMPONENT", `${title} cannot be built: ${(cause as Error).message}`, { cause });
  } finally {
    clearInterval(ticker);
    await removeTree(dir);
  }
}

/** Whatever the umask: pods read these files as other users. No file keeps a set-user-ID bit. */
async function makeReadable(dir: string): Promise<void> {
  await chmod(dir, 0o755);
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const { mode } = await lstat(path);
    if (entry.isDirectory()) await chmod(path, mode & 0o1000 ? 0o1777 : 0o755);
    else await chmod(path, mode & 0o100 ? 0o755 : 0o644);
  }
}

const removeTree = (dir: string) => rm(dir, { recursive: true, force: true });

/** `45 s`, `3 min 5 s`. */
export function formatSeconds(seconds: number): string {
  const whole = Math.round(seconds);
  return whole < 60 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}
