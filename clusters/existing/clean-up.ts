/** Removes what runs left that were killed: on this machine or on another one. */

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
  /** Only this run; default all that have ended. */
  readonly run?: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/** What dead runs left on one cluster, by journals and by labels. */
export interface Leftovers {
  readonly runs: readonly LeftRun[];
  /** What looks like meshproof's and no journal names: nobody but a person may remove it. */
  readonly unproven: readonly string[];
}

export interface LeftRun {
  readonly made: Made;
  /** The journal on this machine, if it was this one. */
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
 * Looks for what dead runs left on a cluster; changes nothing.
 * @param except runs that are at work
 */
export async function findLeftovers(
  kube: Kube,
  cluster: ClusterIdentity,
  except: readonly string[] = [],
): Promise<Leftovers> {
  // One that is alive waits for the Lease and has made nothing.
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

/** What a person must know of {@link Leftovers.unproven}; no line where there is nothing. */
export function unprovenWords(unproven: readonly string[]): string[] {
  if (unproven.length === 0) return [];
  return [
    `left as it is, because it has meshproof's label and no journal says that a run created it: ${unproven.join(", ")}`,
  ];
}

/**
 * Removes a dead run's objects and then its journals. The Lease must be held.
 * @throws as {@link removeRun}
 */
export async function removeLeftRun(kube: Kube, { made, file }: LeftRun, progress: Progress): Promise<Removal> {
  const removal = await removeRun(kube, made, progress);
  await endClusterJournal(kube, made.run);
  if (file !== undefined) endJournal(file);
  return removal;
}

/**
 * Removes what killed runs left: with a context, everything on that cluster, from whichever machine; without one, everything
 * that this machine's journals name.
 * @returns lines for people
 * @throws MeshproofError with what could not be cleaned up; the journals of that are kept
 */
export async function cleanUp(options: CleanUpOptions): Promise<string[]> {
  const { journals, broken } = listJournals();
  const lines = broken.map((why) => `not a journal, and left as it is: ${why}`);
  if (options.context !== undefined) return [...lines, ...(await cleanCluster(options, []))];
  const failures: { readonly code: ErrorCode; readonly text: string }[] = [];
  const wanted = journals.filter(({ head }) => (options.run === undefined ? !isAlive(head) : head.run === options.run));
  for (const { head, file, unreadable } of wanted) {
    if (isAlive(head))
      throw new MeshproofError("ERR_CLUSTER_BUSY", `run ${head.run} is still at work (process ${head.process?.pid})`, {
        hint: "end it with ctrl-C, then it removes everything itself",
      });
    if (unreadable > 0)
      lines.push(`${file}: ${unreadable} lines cannot be read; what they name was not created or is told`);
    try {
      const { kubeconfig, context, allowExec } = head;
      const where = { ...(kubeconfig === undefined ? {} : { kubeconfig }), context, allowExec };
      const { progress, signal } = options;
      lines.push(...(await cleanCluster({ ...where, run: head.run, progress, signal }, [head.cluster])));
    } catch (error) {
      options.signal?.throwIfAborted();
      // One cluster that is away does not keep the others from being cleaned.
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

/** @param expected the cluster that a journal is of: whatever else the context leads to is not touched */
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
      `the context "${pinned.context}" is of another cluster than the run used: ${other}`,
      {
        hint: "--context NAME, with --kubeconfig FILE, cleans up the cluster that you name, by what is written down there",
      },
    );
  // Whoever holds the Lease is alive, also on another machine; who gets it has the cluster for itself.
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
