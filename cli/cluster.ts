/** Which cluster a verb works on. */

import { ensureComponents } from "../clusters/embedded/components/index.ts";
import { attachEmbedded, startEmbedded } from "../clusters/embedded/index.ts";
import type { Cluster } from "../clusters/cluster.ts";
import { DEFAULT_NAME } from "./context.ts";
import type { Work } from "./work.ts";

interface OpenedCluster {
  readonly cluster: Cluster;
  /** Whether this process started it. */
  readonly started: boolean;
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
  if (running !== undefined) {
    progress(`using the running cluster "${running.name}"`);
    return { cluster: running, started: false };
  }
  // Here, so that progress tells the long work before the start.
  await ensureComponents({ progress, signal });
  const chosen = name ?? (keep ? DEFAULT_NAME : `run-${process.pid}`);
  return { cluster: await startEmbedded({ name: chosen, keep, progress, signal }), started: true };
}
