import { cp, stat } from "node:fs/promises";
import { join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import { inLanes } from "../../harness/lanes.ts";
import type { Progress } from "../../harness/progress.ts";
import { digestsByName, type ImagePlaces } from "./registry/names.ts";
import { cacheRoot, ownCacheRoot } from "./cache.ts";
import { compileAll } from "./compile.ts";
import { debianRoot } from "./debian.ts";
import {
  describedEntries,
  ensureEntry,
  entryName,
  inspectEntry,
  type InstalledComponent,
  recordVerified,
} from "./entry.ts";
import { imageRecipe, isFromImages } from "./images.ts";
import {
  ALL_MESHES,
  allComponents,
  allRecipes,
  type Component,
  DEFAULT_MESH,
  envoyRecipe,
  ISTIO_VERSIONS,
  istioctlRecipe,
  listVersions,
  type MeshChoice,
  type MeshVersions,
  PUBLISHED_NAMES,
} from "./list.ts";
import type { Recipe } from "./recipe.ts";
import { registryErrorOf } from "./registry/transport.ts";
import { BOOTSTRAP } from "./bootstrap.ts";
import { hasOwnFilters, ownEnvoyOf } from "./release.ts";
import { chooseSources, type Chosen, tellFallback } from "./sources.ts";
import { type ComponentSource, sourceFrom } from "./ways.ts";

export { cleanComponents } from "./clean.ts";
export { checkHost, checkShortages, installMissing, tellShortages } from "./host.ts";
export type { HostFinding } from "./host.ts";
export type { InstalledComponent } from "./entry.ts";
export type { MeshChoice, MeshVersions } from "./list.ts";
export { chooseMesh } from "./mesh-versions.ts";
export type { WantedMesh } from "./mesh-versions.ts";
export { imageDigestsOf } from "./images.ts";
export { hasOwnFilters } from "./release.ts";

/** A mesh on this machine's disk, by what was chosen. */
export interface InstalledMesh {
  readonly choice: MeshChoice;
  /** The versions that the programs print. */
  readonly versions: MeshVersions;
  /** Whether Envoy lacks Istio's own filters. */
  readonly upstreamEnvoy: boolean;
}

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
  /** In the order in which they were asked for. */
  readonly meshes: readonly InstalledMesh[];
}

export interface EnsureOptions {
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** Versions of Istio and Envoy, the one that programs are taken from first; the default's where it is left out. */
  readonly meshes?: readonly MeshChoice[] | undefined;
  /** Where images come from. */
  readonly images?: ImagePlaces | undefined;
  /** Images, a build here, or what can be had; the environment's where it is left out. */
  readonly source?: ComponentSource | undefined;
  /** Asks the registry again what these images' tags lead to. */
  readonly refresh?: boolean | undefined;
  /** Leaves Go's caches after a build, for the next one. */
  readonly keepGoCaches?: boolean | undefined;
  /** Built with the same caches of the compiler; not in the returned value. */
  readonly also?: readonly Recipe[] | undefined;
}

/** So many components are downloaded side by side, each from several layers. */
const DOWNLOADS = 3;

/**
 * Everything the embedded cluster needs, out of images or built where it is not in the cache yet. Without anything to do it
 * only looks.
 *
 * @throws MeshproofError ERR_COMPONENT, ERR_MISSING_PROGRAM, ERR_USAGE for a digest of an image that is not used, or
 *   ERR_INTERRUPTED once `signal` aborts.
 */
export async function ensureComponents(options: EnsureOptions): Promise<Installed> {
  const { progress, signal, images = {} } = options;
  const meshes: readonly MeshChoice[] = options.meshes ?? [DEFAULT_MESH];
  // Envoy last: which one depends on where Istio comes from.
  const components = await allComponents(meshes.map(({ istio }) => ({ istio, envoy: undefined })));
  const used = components.map(async ({ images, prefersSource }) =>
    (await prefersSource?.()) === true ? [] : (images?.images.map(({ name }) => name) ?? []),
  );
  refuseStrayDigests((await Promise.all(used)).flat(), images);
  const all = await provide(components, options);
  const isFromImage = (istio: string): boolean =>
    all.some((component) => component.name === "istio" && component.version === istio && isFromImages(component));
  const choices = meshes.map(({ istio, envoy, anyEnvoy }): MeshChoice => {
    const own = envoy === undefined || (anyEnvoy === true && isFromImage(istio));
    return { istio, envoy: own ? undefined : envoy };
  });
  for (const envoy of new Set(choices.flatMap((choice) => choice.envoy ?? [])))
    all.push(await ensureEntry(envoyRecipe(envoy), { cache: cacheRoot(), progress, signal }));
  const root = all.findIndex(({ name }) => name === debianRoot.name);
  if (all[root] !== undefined) all[root] = await ownRoot(all[root], { progress, signal });
  return installedOf(all, choices);
}

/**
 * What is published as images, for any architecture: unpacked and verified, and run where it is this machine's alone.
 * @param architecture as Go calls it
 * @returns what is in the cache then; Node.js and an Envoy that is not Istio's are not among it
 */
export async function ensureImages(
  architecture: string,
  { progress, signal, refresh, images: places = {}, meshes = [DEFAULT_MESH] }: EnsureOptions,
): Promise<InstalledComponent[]> {
  const cache = cacheRoot();
  const components = await allComponents(meshes.map(({ istio }) => ({ istio, envoy: undefined })));
  const published = components.flatMap(({ images }) => images ?? []);
  const hint = "--image-mirror names another registry";
  return inLanes(
    published,
    async (images) => {
      const recipe = await imageRecipe(images, { cache, hint, places, refresh, signal, architecture });
      return ensureEntry(recipe, { cache, progress, signal });
    },
    DOWNLOADS,
  );
}

/** One Istio alone, for its manifests. See {@link ensureComponents}. */
export async function ensureIstio(
  version: string,
  options: Omit<EnsureOptions, "meshes">,
): Promise<InstalledComponent> {
  const components = await allComponents([{ istio: version, envoy: undefined }]);
  const [istio] = await provide(
    components.filter(({ name }) => name === "istio"),
    options,
  );
  if (istio === undefined) throw new Error("no component is Istio");
  return istio;
}

/**
 * What prints Istio's manifests, given `--set` for each setting: of an Istio that was built here a program of our own, whose
 * output is istioctl's to the byte.
 */
export function manifestCommand({ dir, programs }: InstalledComponent): readonly [string, ...string[]] {
  const program = (name: string): string => join(dir, "bin", name);
  return programs.includes("istioctl") ? [program("istioctl"), "manifest", "generate"] : [program("istio-manifests")];
}

/** istioctl of a version, which a cluster does not need: where Istio is built here, it is built on demand. */
export async function ensureIstioctl(version: string, options: Omit<EnsureOptions, "meshes">): Promise<string> {
  const { progress, signal, keepGoCaches } = options;
  const istio = await ensureIstio(version, { ...options, keepGoCaches: true });
  if (istio.programs.includes("istioctl")) return join(istio.dir, "bin", "istioctl");
  const [istioctl] = await compileAll([await istioctlRecipe(version)], {
    cache: cacheRoot(),
    progress,
    signal,
    keepGoCaches,
  });
  if (istioctl === undefined) throw new Error("one recipe makes one component");
  return join(istioctl.dir, "bin", "istioctl");
}

/** Downloads side by side, and beside them compiles one after the other. */
async function provide(components: readonly Component[], options: EnsureOptions): Promise<InstalledComponent[]> {
  const { progress, refresh, images: places, source = sourceFrom(), keepGoCaches, also = [] } = options;
  const cache = cacheRoot();
  // After one failure nothing else goes on: a compiler would for minutes.
  const failed = new AbortController();
  const signal = options.signal ? AbortSignal.any([options.signal, failed.signal]) : failed.signal;
  const hint = `--image-mirror names another registry; --components source builds Istio ${listVersions(ISTIO_VERSIONS)} and the rest here`;
  const chosen = await chooseSources(components, { source, progress, signal, refresh, cache, hint, places });
  const entry = { cache, progress, signal, keepGoCaches };
  const instead: Recipe[] = [];
  const ensure = async ({ component, recipe, otherwise }: Chosen): Promise<InstalledComponent[]> => {
    try {
      return [await ensureEntry(recipe, entry)];
    } catch (error) {
      const failed = registryErrorOf(error);
      if (otherwise === undefined || failed === undefined || signal?.aborted) throw error;
      progress(tellFallback([component], failed.message));
      if (otherwise.download === undefined) return [await ensureEntry(otherwise, entry)];
      instead.push(otherwise);
      return [];
    }
  };
  const work = [
    compileAll([...chosen.map(({ recipe }) => recipe).filter(isCompiled), ...also], entry),
    inLanes(
      chosen.filter(({ recipe }) => !isCompiled(recipe)),
      ensure,
      DOWNLOADS,
    ),
  ] as const;
  const [compiled, downloaded] = await Promise.all(work).catch(async (error: unknown) => {
    failed.abort();
    await Promise.allSettled(work);
    throw error;
  });
  const all = [...compiled, ...downloaded.flat(), ...(await compileAll(instead, entry))];
  return all.filter(({ name }) => components.some((component) => component.name === name));
}

const isCompiled = ({ download }: Recipe): boolean => download !== undefined;

/** Refuses digests of images that are not used: the user would think that the image was pinned. */
function refuseStrayDigests(used: readonly string[], images: ImagePlaces): void {
  const stray = [...digestsByName(images).keys()].find((name) => !used.includes(name));
  if (stray === undefined) return;
  throw new MeshproofError("ERR_USAGE", `--image-digest names ${stray}, which is not used here`, {
    hint: `the images are ${used.join(", ")}`,
  });
}

/** @param built one of each name and version; of Envoy only what is not Istio's own */
export function installedOf(built: readonly InstalledComponent[], choices: readonly MeshChoice[]): Installed {
  const find = (name: string, version: string) =>
    built.find((component) => component.name === name && component.version === version);
  const meshes = choices.map((choice) => {
    const istio = find("istio", choice.istio);
    const own = istio && ownEnvoyOf(istio);
    const envoy = choice.envoy === undefined ? own : find("envoy", choice.envoy);
    if (!istio || !envoy) throw new MeshproofError("ERR_COMPONENT", `Istio ${choice.istio} has no Envoy`);
    const upstreamEnvoy = envoy !== own || !hasOwnFilters(istio);
    return { choice, envoy, versions: { istio: istio.version, envoy: envoy.version }, upstreamEnvoy };
  });
  const others = built
    .filter(({ name }) => name !== "envoy")
    .map((component) =>
      ownEnvoyOf(component)
        ? { ...component, programs: component.programs.filter((program) => program !== "envoy") }
        : component,
    );
  const components = [...new Set(meshes.map(({ envoy }) => envoy)), ...others];
  const dirOf = (name: string) => components.find((component) => component.name === name)?.dir ?? "";
  return {
    root: dirOf("debian"),
    istioBootstrap: join(dirOf("istio"), BOOTSTRAP),
    node: join(dirOf("node"), "bin", "node"),
    components,
    meshes: meshes.map(({ choice, versions, upstreamEnvoy }) => ({ choice, versions, upstreamEnvoy })),
    bin(name) {
      const dir = components.find(({ programs }) => programs.includes(name))?.dir;
      if (dir === undefined) throw new MeshproofError("ERR_COMPONENT", `no component has a program ${name}`);
      return join(dir, "bin", name);
    },
  };
}

/**
 * The root, owned by this user. In a user namespace, an overlay cannot copy up files of an unmapped user (EOVERFLOW), so an
 * ordinary user with another user's cache gets a copy in their own cache.
 */
async function ownRoot(shared: InstalledComponent, options: EnsureOptions): Promise<InstalledComponent> {
  const uid = process.getuid?.();
  if (uid === 0 || (await stat(shared.dir)).uid === uid) return shared;
  const copy = {
    ...debianRoot,
    version: shared.version,
    source: shared.source,
    inputs: () => Promise.resolve([shared.digest]),
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
  readonly verifiedAt?: string;
  /** Where it is, or would be. */
  readonly dir: string;
  /** Versions of Debian packages, Go's version, and the like. */
  readonly details?: Readonly<Record<string, string>>;
}

/**
 * All components in every version as the cache has them, and what it has out of images; with `verify` every file is
 * read and its hash compared, and the cache remembers when. Builds nothing and asks no registry.
 */
export async function listComponents({ verify = false } = {}): Promise<ComponentStatus[]> {
  const cache = cacheRoot();
  const statuses: ComponentStatus[] = [];
  const add = async (
    entry: string,
    { name, version, source }: Pick<ComponentStatus, "name" | "version" | "source">,
    isWanted = true,
  ) => {
    const found = await inspectEntry(cache, entry, verify);
    if (found.state === "missing" && !isWanted) return;
    const base = { name, version, source, state: found.state, dir: join(cache, "components", entry, "files") };
    if (found.state === "present")
      statuses.push({ ...base, ...(verify ? await recordVerified(cache, entry, found.component) : found.component) });
    else statuses.push(found.state === "corrupt" ? { ...base, damage: found.damage } : base);
  };
  const fromImages: string[] = [];
  for (const component of PUBLISHED_NAMES)
    for (const [entry, described] of await describedEntries(cache, component)) {
      if (!isFromImages(described)) continue;
      await add(entry, described);
      fromImages.push(`${described.name} ${described.version}`);
    }
  // What came out of images is not missing because it was not built.
  for (const recipe of await allRecipes(ALL_MESHES))
    await add(await entryName(recipe), recipe, !fromImages.includes(`${recipe.name} ${recipe.version}`));
  for (const version of ISTIO_VERSIONS) {
    const recipe = await istioctlRecipe(version);
    await add(await entryName(recipe), recipe, false);
  }
  return statuses;
}
