import type { V1NamespaceStatus } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/model/errors.ts";
import { messageOf } from "../../harness/mesh/api-error.ts";
import type { Kube, Manifest } from "../../harness/mesh/client.ts";
import { groupOf, keyOf, sameObject, type ObjectRecord, type ObjectRef } from "../../harness/mesh/journal.ts";
import { NONCE_ANNOTATION, ownOf, RUN_LABEL } from "../../harness/mesh/ledger.ts";
import type { Progress } from "../../harness/progress.ts";
import { takeInventory, type Inventory, type Labelled } from "./inventory.ts";

/** How long the API server may take to empty a namespace. */
const LIMIT_MS = 180_000;
const POLL_MS = 100;

/** The objects that a run created, from its journals. */
export interface Made {
  readonly run: string;
  /** The run's own namespaces, which are removed with all objects in them. */
  readonly namespaces: readonly string[];
  /** From the journal on this machine, which no other user can write. */
  readonly objects: readonly ObjectRecord[];
  /**
   * From the journal in the cluster. A user who may write ConfigMaps there could name any object, so an object must also have the
   * run's label and nonce, which only a user who may write the object can set.
   */
  readonly claims: readonly ObjectRecord[];
  /** Uid of the journal in the cluster, which is removed last. */
  readonly journalUid?: string | undefined;
}

export interface Removal {
  /** Number of objects that the run created, or recorded before creating them. */
  readonly created: number;
  /** Number of kinds that were listed afterwards, to prove that nothing is left. */
  readonly kinds: number;
  /** Reports for the user: kinds that could not be listed, objects that look like the run's and are not. */
  readonly told: readonly string[];
}

/**
 * Removes a run's objects by uid, waits until they are gone, and proves it by listing every kind of the API server. Another
 * user's object with the same name or label is not removed, but reported.
 * @throws ERR_CLUSTER_UNREACHABLE with the objects that are left, or if it cannot be proved that none is left.
 */
export async function removeRun(kube: Kube, made: Made, progress: Progress): Promise<Removal> {
  const { run, namespaces } = made;
  const refs = [...new Map([...made.claims, ...made.objects].map((record) => [keyOf(record), refOf(record)])).values()];
  const beyond = refs.filter(({ kind, namespace = "" }) => kind !== "Namespace" && !namespaces.includes(namespace));
  const spaces = refs.filter(({ kind }) => kind === "Namespace");
  const left: string[] = [];
  const remove = async (ref: ObjectRef): Promise<Going[]> => {
    const found = await kube.objects.find(ref);
    const owned = found && ownership(made, ref, found);
    if (owned === "claimed") left.push(`${nameOf(ref)} (without its label ${RUN_LABEL} or its nonce)`);
    if (owned !== "own") return [];
    const uid = found?.metadata.uid ?? "";
    if (found?.metadata.deletionTimestamp === undefined) await kube.objects.removeExactly(ref, uid);
    return [{ ref, uid }];
  };
  const going: Going[] = [];
  for (const ref of beyond.reverse()) going.push(...(await remove(ref)));
  if (spaces.length > 0) progress(`removing ${spaces.map(({ name }) => name).join(", ")}`);
  going.push(...(await Promise.all(spaces.map(remove))).flat());
  left.push(...(await untilGone(kube, going)));
  const proof = judgeInventory(made, await takeInventory(kube, run));
  left.push(...proof.left.filter((name) => !left.some((told) => told.startsWith(name))));
  if (left.length > 0)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `objects of run ${run} are left: ${left.join(", ")}`, {
      hint: `meshproof cleanup ${run} tries again; finalizers may keep it: kubectl get -o yaml shows them`,
    });
  if (proof.doubt !== undefined)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `run ${run}: ${proof.doubt}`, {
      hint: `the journal is kept: meshproof cleanup ${run} tries again`,
    });
  return { created: refs.length, kinds: proof.kinds, told: proof.told };
}

export interface Proof {
  readonly kinds: number;
  /** Objects of the run that still exist. */
  readonly left: readonly string[];
  /** Why the inventory does not prove that nothing is left. */
  readonly doubt?: string;
  readonly told: readonly string[];
}

/** Decides what an inventory proves about a run. */
export function judgeInventory(made: Made, { found, kinds, unlisted }: Inventory): Proof {
  const ours = found.filter(({ uid }) => uid !== made.journalUid);
  const left = ours.filter((each) => isOf(made, each)).map(nameOf);
  const looksLike = ours.filter((each) => !isOf(made, each)).map(nameOf);
  // A journal names every object before it is created, so the run has no objects of other kinds.
  const used = new Set(
    [...made.objects, ...made.claims].map(({ apiVersion, kind }) => `${groupOf(apiVersion)} ${kind}`),
  );
  const missing = unlisted.filter(({ group, kind }) => used.has(`${group} ${kind}`));
  const doubt =
    kinds === 0
      ? "the API server listed no kind at all, so nothing proves that nothing is left"
      : missing.length > 0
        ? `it created objects of kinds that cannot be listed now, so nothing proves that they are gone: ${missing.map(({ kind, why }) => `${kind} (${why})`).join(", ")}`
        : undefined;
  return {
    kinds,
    left,
    ...(doubt === undefined ? {} : { doubt }),
    told: [
      ...(unlisted.length === 0
        ? []
        : [
            `not listed, and no kind that run ${made.run} created: ${unlisted
              .map(({ kind }) => kind)
              .sort()
              .join(", ")}`,
          ]),
      ...(looksLike.length === 0
        ? []
        : [
            `not removed, because run ${made.run} did not create it although it has its label: ${looksLike.join(", ")}`,
          ]),
    ],
  };
}

function isOf({ objects, claims }: Made, { uid, nonce }: Labelled): boolean {
  return [...objects, ...claims].some((record) => record.uid === uid || record.nonce === nonce);
}

/** Ownership of an object: `own`, undefined (not the run's), or `claimed` by a journal that the object does not confirm. */
export function ownership(made: Made, ref: ObjectRef, found: Manifest): "own" | "claimed" | undefined {
  const of = (records: readonly ObjectRecord[]) =>
    ownOf(
      records.filter((record) => sameObject(record, ref)),
      found,
    );
  if (of(made.objects) !== undefined) return "own";
  const claimed = of(made.claims);
  if (claimed === undefined) return undefined;
  const { labels, annotations } = found.metadata;
  return labels?.[RUN_LABEL] === made.run && annotations?.[NONCE_ANNOTATION] === claimed.nonce ? "own" : "claimed";
}

function refOf({ apiVersion, kind, namespace, name }: ObjectRecord): ObjectRef {
  return { apiVersion, kind, ...(namespace === undefined ? {} : { namespace }), name };
}

/** `AuthorizationPolicy istio-system/deny` */
export function nameOf({ kind, namespace, name }: ObjectRef): string {
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}

interface Going {
  readonly ref: ObjectRef;
  readonly uid: string;
}

/** Waits until all are gone. @returns those that still exist at the limit, with the API server's reason. */
async function untilGone(kube: Kube, going: readonly Going[]): Promise<string[]> {
  const until = performance.now() + LIMIT_MS;
  const wait = async ({ ref, uid }: Going): Promise<string[]> => {
    for (;;) {
      let found: Manifest | undefined;
      let problem: string | undefined;
      try {
        found = await kube.objects.find(ref);
        if (found?.metadata.uid !== uid) return [];
      } catch (error) {
        problem = messageOf(error);
      }
      if (performance.now() > until) return [`${nameOf(ref)} (${problem ?? whyNot(found)})`];
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  };
  return (await Promise.all(going.map(wait))).flat();
}

function whyNot(found: Manifest | undefined): string {
  const { conditions = [] } = (found?.["status"] ?? {}) as V1NamespaceStatus;
  const finalizers = (found?.metadata.finalizers ?? []).map((name) => `finalizer ${name}`);
  const reasons = conditions.flatMap(({ status, message }) => (status === "True" && message ? [message] : []));
  return [...reasons, ...finalizers].join(", ") || "the API server gives no reason";
}
