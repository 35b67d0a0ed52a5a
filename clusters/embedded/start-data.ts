/** The data of etcd that a cluster starts from, in the cache: with it, the objects of Kubernetes and Istio need not be applied. */

import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { join } from "node:path";
import type { Manifest } from "../../harness/mesh/client.ts";
import { needsAuthority } from "../../harness/mesh/manifests.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Progress } from "../../harness/progress.ts";
import { cacheRoot, ownCacheRoot } from "../components/cache.ts";
import type { Installed } from "../components/components.ts";
import { ensureEntry, entryName, inspectEntry } from "../components/entry.ts";
import type { Recipe } from "../components/recipe.ts";
import { BASE_OBJECTS, commandOf } from "./control-plane.ts";
import type { Launched } from "./launch.ts";
import type { StartData } from "./messages.ts";

/** The folder of the data, in its component. */
const FOLDER = "etcd";

export interface StartDataOptions {
  readonly installed: Installed;
  /** Istio's, with the placeholder of {@link needsAuthority}. */
  readonly manifests: readonly Manifest[];
  /** Starts etcd and the API server, which copy their data to this folder. */
  readonly launch: (makeDataAt: string) => Promise<Launched>;
  /** Applies objects to them. */
  readonly apply: (manifests: readonly Manifest[]) => Promise<void>;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * The data for these components and manifests, made now if the cache does not have it.
 * @returns undefined if no cache can be written
 * @throws ERR_CLUSTER_START, ERR_COMPONENT, ERR_INTERRUPTED
 */
export async function ensureStartData(options: StartDataOptions): Promise<StartData | undefined> {
  const { installed, manifests, progress, signal } = options;
  const shared = manifests.filter((manifest) => !needsAuthority(manifest));
  const recipe = recipeOf(installed, shared, options);
  const cache = await findCache(await entryName(recipe));
  if (cache === undefined) return undefined;
  const { dir } = await ensureEntry(recipe, { cache, progress, signal });
  const own = manifests.filter(needsAuthority).map((object) => ({ path: pathOf(object), object }));
  return { folder: join(dir, FOLDER), own };
}

/** A cache that has it, or else one where it can be made: an ordinary user may share a cache that only its owner can write. */
async function findCache(entry: string): Promise<string | undefined> {
  const caches = [cacheRoot(), ownCacheRoot()];
  for (const cache of caches) if ((await inspectEntry(cache, entry)).state === "present") return cache;
  for (const cache of caches) {
    const isWritable = await access(cache, constants.W_OK).then(
      () => true,
      () => false,
    );
    if (isWritable) return cache;
  }
  return undefined;
}

function recipeOf(installed: Installed, shared: readonly Manifest[], options: StartDataOptions): Recipe {
  const programs = (["etcd", "kube-apiserver"] as const).map((name) => {
    const component = installed.components.find((one) => one.programs.includes(name));
    if (!component) throw new MeshproofError("ERR_COMPONENT", `no component has a program ${name}`);
    return { component, command: commandOf(name) };
  });
  const inputs = [programs.map(({ component, command }) => [component.digest, command]), BASE_OBJECTS, shared];
  const hash = createHash("sha256").update(JSON.stringify(inputs)).digest("hex");
  return {
    name: "start-data",
    version: programs.map(({ component }) => component.version).join("-"),
    source: "etcd after the objects of Kubernetes and Istio were applied",
    effort: "about 10 s",
    inputs: () => Promise.resolve([hash]),
    async build({ files, signal }) {
      const launched = await options.launch(join(files, FOLDER));
      const stop = (): void => void launched.stop();
      signal?.addEventListener("abort", stop, { once: true });
      try {
        await launched.api;
        await options.apply(shared);
        await launched.finish();
      } finally {
        signal?.removeEventListener("abort", stop);
        await launched.stop();
      }
      return {};
    },
  };
}

/** Where a ConfigMap is in the API. */
function pathOf({ kind, metadata: { namespace, name } }: Manifest): string {
  if (kind !== "ConfigMap" || namespace === undefined)
    throw new Error(`only a ConfigMap may need the authority: ${kind} ${name}`);
  return `/api/v1/namespaces/${namespace}/configmaps/${name}`;
}
