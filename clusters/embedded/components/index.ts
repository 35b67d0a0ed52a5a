import { cp, stat } from "node:fs/promises";
import { join } from "node:path";

import { MeshproofError } from "../../../harness/errors.ts";
import type { Progress } from "../../../harness/progress.ts";
import { cacheRoot, ownCacheRoot } from "./cache.ts";
import { debianRoot } from "./debian.ts";
import { ensureEntry, entryName, inspectEntry } from "./entry.ts";
import type { InstalledComponent } from "./entry.ts";
import { ALL_MESHES, allRecipes } from "./list.ts";
import type { MeshVersions } from "./list.ts";

export { cleanComponents } from "./clean.ts";
export { checkHost, installMissing } from "./host.ts";
export type { HostFinding } from "./host.ts";
export type { InstalledComponent } from "./entry.ts";
export type { MeshVersions } from "./list.ts";
export { chooseMesh } from "./mesh-versions.ts";
export type { WantedMesh } from "./mesh-versions.ts";

/** Everything that the embedded cluster runs, on this machine's disk. */
export interface Installed {
  /** The shared Debian root file system; its files belong to this user (or this is root), so that an overlay can copy them up. */
  readonly root: string;
  /** Absolute path of a static program, such as `etcd`, or of `envoy` and `node`, which need the root's libraries. Throws ERR_COMPONENT for an unknown name. */
  bin(name: string): string;
  /** Envoy's bootstrap template of the pinned Istio. */
  readonly istioBootstrap: string;
  /** Node.js that runs TypeScript as it is. */
  readonly node: string;
  readonly components: readonly InstalledComponent[];
}

export interface EnsureOptions {
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Versions of Istio and Envoy, the one that programs are taken from first; the default's where it is left out. */
  readonly meshes?: readonly MeshVersions[] | undefined;
}

/**
 * Everything the embedded cluster needs, built where it is not in the cache yet. Without anything to do it only looks.
 *
 * @throws MeshproofError ERR_COMPONENT, ERR_MISSING_PROGRAM, or ERR_INTERRUPTED once `signal` aborts.
 */
export async function ensureComponents({ progress, signal, meshes }: EnsureOptions): Promise<Installed> {
  const cache = cacheRoot();
  const components: InstalledComponent[] = [];
  for (const recipe of await allRecipes(meshes)) {
    const component = await ensureEntry(recipe, { cache, progress, signal });
    components.push(recipe === debianRoot ? await ownRoot(component, { progress, signal }) : component);
  }
  return installedOf(components);
}

function installedOf(components: readonly InstalledComponent[]): Installed {
  const dirOf = (name: string) => components.find((component) => component.name === name)?.dir ?? "";
  return {
    root: dirOf("debian"),
    istioBootstrap: join(dirOf("istio"), "envoy_bootstrap.json"),
    node: join(dirOf("node"), "bin", "node"),
    components,
    bin(name) {
      const dir = components.find(({ programs }) => programs.includes(name))?.dir;
      if (dir === undefined) throw new MeshproofError("ERR_COMPONENT", `no component has a program ${name}`);
      return join(dir, "bin", name);
    },
  };
}

/**
 * The root as this user's own. In a user namespace, files of a user who is not mapped there cannot be copied up by an
 * overlay (EOVERFLOW), so an ordinary user who shares somebody else's cache gets a copy in the own one.
 */
async function ownRoot(shared: InstalledComponent, options: EnsureOptions): Promise<InstalledComponent> {
  const uid = process.getuid?.();
  if (uid === 0 || (await stat(shared.dir)).uid === uid) return shared;
  const copy = {
    ...debianRoot,
    effort: `a copy of ${shared.dir}`,
    async build({ files }: { files: string }) {
      await cp(shared.dir, files, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true });
      return shared.details;
    },
  };
  return ensureEntry(copy, { cache: ownCacheRoot(), ...options });
}

/** One line of `meshproof components`. */
export interface ComponentStatus {
  readonly name: string;
  readonly version: string;
  readonly source: string;
  readonly state: "present" | "missing" | "corrupt";
  /** Why it is corrupt. */
  readonly damage?: string;
  readonly digest?: string;
  readonly bytes?: number;
  readonly builtAt?: string;
  /** Where it is, or would be. */
  readonly dir: string;
  /** Versions of Debian packages, Go's version, and the like. */
  readonly details?: Readonly<Record<string, string>>;
}

/** All components in every version as the cache has them; with `verify` every file is read and its hash compared. Builds nothing. */
export async function listComponents({ verify = false } = {}): Promise<ComponentStatus[]> {
  const cache = cacheRoot();
  const statuses: ComponentStatus[] = [];
  for (const recipe of await allRecipes(ALL_MESHES)) {
    const { name, version, source } = recipe;
    const entry = await entryName(recipe);
    const found = await inspectEntry(cache, entry, verify);
    const base = { name, version, source, state: found.state, dir: join(cache, "components", entry, "files") };
    if (found.state === "present") statuses.push({ ...base, ...found.component });
    else statuses.push(found.state === "corrupt" ? { ...base, damage: found.damage } : base);
  }
  return statuses;
}
