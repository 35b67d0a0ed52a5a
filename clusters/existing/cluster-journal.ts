/**
 * The journal in the cluster: a ConfigMap beside the Lease, with the run's namespaces and the objects outside them. It shows a
 * cleanup on another machine what a run created, since a label alone proves nothing.
 */

import type { V1ConfigMap } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/model/errors.ts";
import { messageOf, statusOf } from "../../harness/mesh/api-error.ts";
import { FIELD_MANAGER, type Kube } from "../../harness/mesh/client.ts";
import { asObjectRecord, type JournalScope, type ObjectRecord } from "../../harness/mesh/journal.ts";
import { JOURNAL_LABEL, MANAGED_BY, RUN_LABEL } from "../../harness/mesh/ledger.ts";
import { LEASE } from "../lease-server.ts";

const HEAD = "head";

/** Namespace and name of a run's journal in its cluster. */
export function clusterJournalOf(run: string): JournalScope["inCluster"] {
  return { namespace: LEASE.namespace, name: `meshproof-journal-${run}` };
}

export interface ClusterJournal {
  readonly run: string;
  readonly namespaces: readonly string[];
  readonly objects: readonly ObjectRecord[];
  /** Uid of the ConfigMap. */
  readonly uid: string;
}

/**
 * Creates the journal before any other object of the run.
 * @throws MeshproofError ERR_CLUSTER_REFUSED if one of this name exists
 */
export async function beginClusterJournal(kube: Kube, { run, namespaces }: JournalScope): Promise<void> {
  const { namespace, name } = clusterJournalOf(run);
  const labels = { ...MANAGED_BY, [RUN_LABEL]: run, [JOURNAL_LABEL]: "run" };
  const body = { metadata: { namespace, name, labels }, data: { [HEAD]: JSON.stringify({ run, namespaces }) } };
  try {
    await kube.core.createNamespacedConfigMap({ namespace, body, fieldManager: FIELD_MANAGER });
  } catch (cause) {
    throw new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `the run's journal cannot be written to the cluster: ConfigMap ${namespace}/${name}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

export interface FoundClusterJournals {
  readonly journals: readonly ClusterJournal[];
  /** ConfigMaps that look like a journal, but were not written by meshproof. */
  readonly foreign: readonly string[];
}

export async function listClusterJournals(kube: Kube): Promise<FoundClusterJournals> {
  const { items } = await kube.core.listNamespacedConfigMap({
    namespace: LEASE.namespace,
    labelSelector: JOURNAL_LABEL,
  });
  const journals: ClusterJournal[] = [];
  const foreign: string[] = [];
  for (const item of items) {
    const journal = readClusterJournal(item);
    if (journal === undefined) foreign.push(`ConfigMap ${LEASE.namespace}/${item.metadata?.name ?? ""}`);
    else journals.push(journal);
  }
  return { journals, foreign };
}

/** Undefined if meshproof did not write it, according to the API server's managedFields. */
export function readClusterJournal({ metadata, data = {} }: V1ConfigMap): ClusterJournal | undefined {
  const { run, namespaces } = (parsed(data[HEAD]) ?? {}) as { run?: unknown; namespaces?: unknown };
  if (typeof run !== "string" || metadata?.name !== clusterJournalOf(run).name) return undefined;
  if (metadata.labels?.[RUN_LABEL] !== run || metadata.uid === undefined) return undefined;
  const written = (metadata.managedFields ?? []).some(({ manager, fieldsV1 }) => {
    const fields = fieldsV1 as { "f:data"?: Record<string, unknown> } | undefined;
    return manager === FIELD_MANAGER && fields?.["f:data"]?.[`f:${HEAD}`] !== undefined;
  });
  if (!written || !Array.isArray(namespaces)) return undefined;
  const objects = Object.entries(data).flatMap(([key, text]) =>
    key === HEAD ? [] : (asObjectRecord(parsed(text)) ?? []),
  );
  return { run, namespaces: namespaces.map(String), objects, uid: metadata.uid };
}

/** Removes the journal; call it when everything in it is gone. */
export async function endClusterJournal(kube: Kube, run: string): Promise<void> {
  const { namespace, name } = clusterJournalOf(run);
  try {
    const found = await kube.core.readNamespacedConfigMap({ namespace, name });
    const journal = readClusterJournal(found);
    if (journal === undefined) return;
    await kube.core.deleteNamespacedConfigMap({ namespace, name, body: { preconditions: { uid: journal.uid } } });
  } catch (error) {
    if (statusOf(error) !== 404) throw error;
  }
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "") as unknown;
  } catch {
    return undefined;
  }
}
