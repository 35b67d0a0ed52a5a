/** Which cluster a verb works on. */

import type { Cluster } from "../clusters/cluster.ts";
import { attachEmbedded, startEmbedded, stopEmbedded } from "../clusters/embedded/index.ts";
import type { Progress } from "../harness/progress.ts";
import { DEFAULT_NAME, type MadeKind } from "./context.ts";
import type { Work } from "./work.ts";

interface MakeOptions extends ImageFlags {
  readonly name: string;
  readonly keep: boolean;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/** What only a kind cluster takes. */
export interface ImageFlags {
  readonly images?: string;
  readonly imageMirror?: string;
  readonly imageDigest?: Readonly<Record<string, string>>;
  readonly kubernetes?: string;
}

/** A kind of cluster that meshproof makes itself. */
export interface Maker {
  /** The running cluster of this name. */
  attach(name: string): Promise<Cluster | undefined>;
  /** @param options.keep whether it outlives this process */
  start(options: MakeOptions): Promise<Cluster>;
  /** @returns whether it was running */
  stop(name: string): Promise<boolean>;
}

/** Loaded when they are used, so that one does not pay for the other's libraries. */
const MAKERS: Record<MadeKind, () => Promise<Maker>> = {
  embedded: () => Promise.resolve({ attach: attachEmbedded, start: startEmbedded, stop: stopEmbedded }),
  kind: async () => {
    const { attachKind, startKind, stopKind } = await import("../clusters/kind/index.ts");
    return {
      attach: attachKind,
      start: ({ imageMirror, imageDigest, ...rest }) =>
        startKind({ ...rest, mirror: imageMirror, digests: imageDigest }),
      stop: stopKind,
    };
  },
};

export function makerOf(kind: MadeKind): Promise<Maker> {
  return MAKERS[kind]();
}

interface OpenedCluster {
  readonly cluster: Cluster;
  /** Whether this process started it. */
  readonly started: boolean;
  /** Aborts when the work is interrupted or the cluster ends by itself. */
  readonly signal: AbortSignal;
}

interface ClusterOptions extends ImageFlags {
  readonly cluster: MadeKind;
  readonly name?: string;
  readonly keep?: boolean;
}

/**
 * The kept cluster of this name if it runs, else a new one. A new one that is not kept has a name of its own, so that
 * several runs at once do not meet.
 */
export async function openCluster(options: ClusterOptions, work: Work): Promise<OpenedCluster> {
  const { cluster: kind, name, keep = false, images, imageMirror, imageDigest, kubernetes } = options;
  const { progress, signal } = work;
  const maker = await makerOf(kind);
  const running = await maker.attach(name ?? DEFAULT_NAME);
  if (running !== undefined) progress(`using the running cluster "${running.name}"`);
  const chosen = name ?? (keep ? DEFAULT_NAME : `run-${process.pid}`);
  const cluster =
    running ??
    (await maker.start({
      name: chosen,
      keep,
      progress,
      signal,
      ...(images === undefined ? {} : { images }),
      ...(imageMirror === undefined ? {} : { imageMirror }),
      ...(imageDigest === undefined ? {} : { imageDigest }),
      ...(kubernetes === undefined ? {} : { kubernetes }),
    }));
  return { cluster, started: running === undefined, signal: AbortSignal.any([signal, cluster.lost]) };
}
