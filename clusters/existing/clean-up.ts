/** Removes the objects of killed runs, of this machine or of another one. */

import { MeshproofError, type ErrorCode } from "../../harness/model/errors.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import { connectWith, type Kube } from "../../harness/mesh/client.ts";
import type { Progress } from "../../harness/progress.ts";
import { takeLease } from "../lease.ts";
import { endClusterJournal, listClusterJournals, type FoundClusterJournals } from "./cluster-journal.ts";
import { takeInventory } from "./inventory.ts";
import {
  differenceOf,
  endJournal,
  identify,
  isAlive,
  listJournals,
  type ClusterIdentity,
  type Journal,
} from "./journal.ts";
import { pinContext, type KubeconfigOptions } from "./kubeconfig.ts";
import { nameOf, removeRun, type Made, type Removal } from "./remove.ts";

export interface CleanUpOptions extends KubeconfigOptions {
  /** Cleans up only this run; default all that have ended. */
  readonly run?: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** The objects of dead runs on one cluster, from journals and labels. */
export interface Leftovers {
  readonly runs: readonly LeftRun[];
  /** Objects that look like meshproof's and are in no journal: only the user may remove them. */
  readonly unproven: readonly string[];
}

export interface LeftRun {
  readonly made: Made;
  /** The journal on this machine, if the run was here. */
  readonly file?: string;
}

/** Runs whose journal is on this machine or in the cluster. */
export function joinJournals(locals: readonly Journal[], { journals }: FoundClusterJournals): LeftRun[] {
  const runs = [...new Set([...locals.map(({ head }) => head.run), ...journals.map(({ run }) => run)])].sort();
  return runs.map((run) => {
    const local = locals.find(({ head }) => head.run === run);
    const remote = journals.find((journal) => journal.run === run);
    return {
      made: {
        run,
        namespaces: local?.head.namespaces ?? remote?.namespaces ?? [],
        objects: local?.objects ?? [],
        claims: remote?.objects ?? [],
        journalUid: remote?.uid,
      },
      ...(local === undefined ? {} : { file: local.file }),
    };
  });
}

/**
 * Finds the objects of dead runs on a cluster; changes nothing.
 * @param except runs that are still running
 */
export async function findLeftovers(
  kube: Kube,
  cluster: ClusterIdentity,
  except: readonly string[] = [],
): Promise<Leftovers> {
  // A live run waits for the Lease and has created nothing.
  const locals = listJournals().journals.filter(
    ({ head }) => differenceOf(head.cluster, cluster) === undefined && !isAlive(head),
  );
  const [inCluster, { found }] = await Promise.all([listClusterJournals(kube), takeInventory(kube)]);
  const runs = joinJournals(locals, inCluster);
  const named = new Set(runs.map(({ made }) => made.run));
  return {
    runs: runs.filter(({ made }) => !except.includes(made.run)),
    unproven: [
      ...inCluster.foreign,
      ...found
        .filter(({ run }) => !named.has(run) && !except.includes(run))
        .map((each) => `${nameOf(each)} (run ${each.run})`)
        .filter((name) => !inCluster.foreign.some((each) => name.startsWith(each))),
    ].sort(),
  };
}

/** Lines for the user about {@link Leftovers.unproven}; none if it is empty. */
export function unprovenWords(unproven: readonly string[]): string[] {
  if (unproven.length === 0) return [];
  return [`not removed, because it has meshproof's label but is in no journal of a run: ${unproven.join(", ")}`];
}

/**
 * Removes a dead run's objects and then its journals. The Lease must be held.
 * @throws like {@link removeRun}
 */
export async function removeLeftRun(kube: Kube, { made, file }: LeftRun, progress: Progress): Promise<Removal> {
  const removal = await removeRun(kube, made, progress);
  await endClusterJournal(kube, made.run);
  if (file !== undefined) endJournal(file);
  return removal;
}

/**
 * Removes the objects of killed runs: with a context, those of all machines on that cluster; without one, those in this
 * machine's journals.
 * @returns lines for people
 * @throws MeshproofError with the runs that could not be cleaned up; their journals are kept
 */
export async function cleanUp(options: CleanUpOptions): Promise<string[]> {
  const { journals, broken } = listJournals();
  const lines = broken.map((why) => `not a journal, and not removed: ${why}`);
  if (options.context !== undefined) return [...lines, ...(await cleanCluster(options, []))];
  const failures: { readonly code: ErrorCode; readonly text: string }[] = [];
  const wanted = journals.filter(({ head }) => (options.run === undefined ? !isAlive(head) : head.run === options.run));
  for (const { head, file, unreadable } of wanted) {
    if (isAlive(head))
      throw new MeshproofError("ERR_CLUSTER_BUSY", `run ${head.run} is still at work (process ${head.process?.pid})`, {
        hint: "end it with ctrl-C, then it removes everything itself",
      });
    if (unreadable > 0)
      lines.push(`${file}: ${unreadable} lines cannot be read; their objects were not created, or are listed here`);
    try {
      const { kubeconfig, context, allowExec } = head;
      const where = { ...(kubeconfig === undefined ? {} : { kubeconfig }), context, allowExec };
      const { progress, signal } = options;
      lines.push(...(await cleanCluster({ ...where, run: head.run, progress, signal }, [head.cluster])));
    } catch (error) {
      options.signal?.throwIfAborted();
      // An unreachable cluster must not prevent the cleanup of others.
      const code = error instanceof MeshproofError ? error.code : "ERR_CLUSTER_UNREACHABLE";
      failures.push({ code, text: `${head.run} on ${head.context}: ${messageOf(error)} (${file})` });
    }
  }
  const [first] = failures;
  if (first !== undefined)
    throw new MeshproofError(
      first.code,
      [...lines, "not cleaned up:", ...failures.map(({ text }) => text)].join("\n"),
      {
        hint: "try again when the run has ended or the cluster answers; if the cluster is gone for good, delete the file that is named",
      },
    );
  return lines;
}

/** @param expected the cluster of a journal: nothing is changed if the context is of another cluster */
async function cleanCluster(options: CleanUpOptions, [expected]: readonly ClusterIdentity[]): Promise<string[]> {
  const { progress, signal } = options;
  const pinned = pinContext(options);
  const kube = connectWith(pinned.config);
  const cluster = await identify(kube).catch((cause: unknown) => {
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `${pinned.server}: ${messageOf(cause)}`, { cause });
  });
  const other = expected && differenceOf(expected, cluster);
  if (other !== undefined)
    throw new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `the context "${pinned.context}" belongs to another cluster than that of the run: ${other}`,
      {
        hint: "to clean up another cluster by the journals that are in it: --context NAME, with --kubeconfig FILE",
      },
    );
  // The holder of the Lease is alive, also on another machine; taking it gives exclusive use of the cluster.
  const lease = await takeLease(kube, { id: options.run ?? "all", verb: "cleanup", progress, signal });
  try {
    const { runs, unproven } = await findLeftovers(kube, cluster);
    const lines: string[] = [];
    for (const left of runs.filter(({ made }) => options.run === undefined || made.run === options.run)) {
      signal?.throwIfAborted();
      const { kinds, told } = await removeLeftRun(kube, left, progress);
      lines.push(`${left.made.run}: nothing is left on ${pinned.context}, ${kinds} kinds listed`, ...told);
    }
    return [...lines, ...(options.run === undefined ? unprovenWords(unproven) : [])];
  } finally {
    await lease.release();
  }
}
