/** Which cluster a verb works on. */

import { attachEmbedded, startEmbedded } from "../clusters/embedded/index.ts";
import type { Cluster } from "../clusters/cluster.ts";
import { DEFAULT_NAME } from "./context.ts";
import type { Work } from "./work.ts";

interface OpenedCluster {
  readonly cluster: Cluster;
  /** Whether this process started it. */
  readonly started: boolean;
  /** Aborts when the work is interrupted or the cluster ends by itself. */
  readonly signal: AbortSignal;
}

interface ClusterOptions {
  readonly name?: string;
  readonly keep?: boolean;
}

/**
 * The kept cluster of this name if it runs, else a new one. A new one that is not kept has a name of its own, so that
 * several runs at once do not meet.
 */
export async function openCluster({ name, keep = false }: ClusterOptions, work: Work): Promise<OpenedCluster> {
  const { progress, signal } = work;
  const running = await attachEmbedded(name ?? DEFAULT_NAME);
  if (running !== undefined) progress(`using the running cluster "${running.name}"`);
  const chosen = name ?? (keep ? DEFAULT_NAME : `run-${process.pid}`);
  const cluster = running ?? (await startEmbedded({ name: chosen, keep, progress, signal }));
  return { cluster, started: running === undefined, signal: AbortSignal.any([signal, cluster.lost]) };
}
