/** Opens the cluster that a verb uses. */

import type { Cluster } from "../clusters/cluster.ts";
import type { ClusterInfo } from "../harness/model/cluster.ts";
import type { HeldLease, LeaseOptions } from "../clusters/lease.ts";
import type { UpgradableCluster } from "../clusters/upgradable.ts";
import { chooseMesh, type WantedMesh } from "../clusters/components/components.ts";
import { attachEmbedded, startEmbedded, stopEmbedded } from "../clusters/embedded/embedded.ts";
import { digestsByName, type ImagePlaces } from "../clusters/components/registry/names.ts";
import { MeshproofError } from "../harness/model/errors.ts";
import type { Progress } from "../harness/progress.ts";
import { DEFAULT_NAME, type MadeKind } from "./context.ts";
import type { ImageFlags, PlaceFlags } from "./image-flags.ts";
import type { Work } from "./work.ts";

interface MakeOptions extends ImageFlags {
  /** The versions of Istio and Envoy: the first to start with, and those that it can be upgraded to. */
  readonly meshes: readonly WantedMesh[];
  readonly name: string;
  readonly keep: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** Converts the flags for the clusters. */
export function placesOf({ imageMirror, imageDigest }: PlaceFlags): ImagePlaces {
  return { mirror: imageMirror, ...(imageDigest ? { digests: imageDigest } : {}) };
}

/** A kind of cluster that meshproof creates. */
export interface Maker {
  /** Attaches to the running cluster of this name; undefined if there is none. */
  attach(name: string): Promise<Cluster | undefined>;
  /** @param options.keep whether the cluster outlives this process */
  start(options: MakeOptions): Promise<UpgradableCluster>;
  /** @returns whether it was running */
  stop(name: string): Promise<boolean>;
}

/** Imported when they are used, because their libraries take time to load. */
const MAKERS: Record<MadeKind, () => Promise<Maker>> = {
  embedded: () =>
    Promise.resolve({
      attach: attachEmbedded,
      start: ({ name, keep, progress, signal, meshes, ...flags }) =>
        startEmbedded({
          name,
          keep,
          progress,
          signal,
          meshes: meshes.map((wanted) => chooseMesh(wanted)),
          images: placesOf(flags),
          source: flags.components,
        }),
      stop: stopEmbedded,
    }),
  kind: async () => {
    const { attachKind, startKind, stopKind } = await import("../clusters/kind/kind.ts");
    return {
      attach: attachKind,
      start: (options) => startKind({ ...options, ...placesOf(options) }),
      stop: stopKind,
    };
  },
};

export function makerOf(kind: MadeKind): Promise<Maker> {
  return MAKERS[kind]();
}

interface OpenedCluster {
  /** The cluster, held by a Lease; disposing it releases the Lease. */
  readonly cluster: Cluster;
  /** Whether this process started it. */
  readonly started: boolean;
  /** Aborts if the work is interrupted, the cluster ends by itself, or another meshproof takes it. */
  readonly signal: AbortSignal;
}

interface ClusterOptions extends ImageFlags, WantedMesh {
  readonly cluster: MadeKind;
  readonly name?: string;
  readonly keep?: boolean;
}

/**
 * Opens the kept cluster of this name if it runs, else a new one. A new one that is not kept gets its own name, so that several
 * runs at once do not use the same cluster.
 * @param worker the process that uses the cluster, exclusively
 * @throws ERR_CLUSTER_BUSY if another meshproof uses it
 */
export async function openCluster(
  options: ClusterOptions,
  worker: Pick<LeaseOptions, "id" | "verb">,
  work: Work,
): Promise<OpenedCluster> {
  const { cluster: kind, name, keep = false, images, imageMirror, imageDigest, kubernetes, components } = options;
  const { istio, envoy } = options;
  const { progress, signal } = work;
  chooseMesh({ istio, envoy }); // refuses unknown versions before anything is started
  const maker = await makerOf(kind);
  const running = await maker.attach(name ?? DEFAULT_NAME);
  if (running !== undefined) {
    // Images that kind has loaded do not have the registry's digests any more.
    await refuseOtherVersions(running, kind === "kind" ? { istio, envoy } : options);
    progress(`using the running cluster "${running.name}"`);
  }
  const chosen = name ?? (keep ? DEFAULT_NAME : `run-${process.pid}`);
  const cluster =
    running ??
    (await maker.start({
      name: chosen,
      keep,
      progress,
      signal,
      meshes: [{ istio, envoy }],
      ...(images === undefined ? {} : { images }),
      ...(imageMirror === undefined ? {} : { imageMirror }),
      ...(imageDigest === undefined ? {} : { imageDigest }),
      ...(kubernetes === undefined ? {} : { kubernetes }),
      ...(components === undefined ? {} : { components }),
    }));
  const started = running === undefined;
  const held = await occupy(cluster, worker, work, started && !keep);
  return { cluster: held, started, signal: AbortSignal.any([signal, held.lost]) };
}

/**
 * Holds the cluster by a Lease.
 * @param goes whether disposing it ends the cluster
 */
async function occupy(
  cluster: Cluster,
  worker: Pick<LeaseOptions, "id" | "verb">,
  { progress, signal }: Work,
  goes: boolean,
): Promise<Cluster> {
  let lease: HeldLease;
  try {
    lease = await takeClusterLease(cluster, worker, { progress, signal });
  } catch (error) {
    await cluster[Symbol.asyncDispose]();
    throw error;
  }
  return {
    ...cluster,
    lost: AbortSignal.any([cluster.lost, lease.lost]),
    async [Symbol.asyncDispose]() {
      if (goes || cluster.lost.aborted) lease.stop();
      // A Lease that cannot be released expires: the next process sees that this one has ended.
      else await lease.release().catch(() => undefined);
      await cluster[Symbol.asyncDispose]();
    },
  };
}

/** @throws ERR_CLUSTER_BUSY if another meshproof uses it */
export async function takeClusterLease(
  cluster: Pick<Cluster, "kind" | "name" | "kubeconfig">,
  worker: Pick<LeaseOptions, "id" | "verb" | "otherwise">,
  { progress, signal }: Pick<Work, "progress" | "signal">,
): Promise<HeldLease> {
  const [{ takeLease }, { connect }] = await Promise.all([
    import("../clusters/lease.ts"),
    import("../harness/mesh/client.ts"),
  ]);
  const otherwise = "use a cluster of another name: --name NAME";
  return takeLease(connect(cluster.kubeconfig), { otherwise, ...worker, progress, signal });
}

/** @throws MeshproofError ERR_USAGE if a running cluster does not have the requested versions and images */
async function refuseOtherVersions(running: Cluster, options: WantedMesh & PlaceFlags): Promise<void> {
  const { istio, envoy, imageDigest } = options;
  if (istio === undefined && envoy === undefined && imageDigest === undefined) return;
  const has = differenceOf(await running.describe(), options);
  if (has === undefined) return;
  throw new MeshproofError("ERR_USAGE", `the running cluster "${running.name}" has ${has}`, {
    hint: `stop it with meshproof down --name ${running.name}, or choose another --name`,
  });
}

/** The difference between a cluster and the request; undefined if there is none. */
export function differenceOf(
  { versions, digests }: Pick<ClusterInfo, "versions" | "digests">,
  options: WantedMesh & PlaceFlags,
): string | undefined {
  const wanted = chooseMesh({ istio: options.istio, envoy: options.envoy }, versions);
  if (wanted.istio !== versions.istio || wanted.envoy !== versions.envoy)
    return `Istio ${versions.istio} and Envoy ${versions.envoy}, not ${wanted.istio} and ${wanted.envoy}`;
  const [other] = [...digestsByName(placesOf(options))].filter(([name, digest]) => digests[name] !== digest);
  return other && `${digests[other[0]] ?? "nothing"} of ${other[0]}, not ${other[1]}`;
}
