import { randomBytes } from "node:crypto";
import type { KubernetesObject } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import {
  asObjectRecord,
  keyOf,
  readJournal,
  sameObject,
  writeJournal,
  type JournalScope,
  type ObjectRecord,
  type ObjectRef,
} from "./journal.ts";

/** Label on every object of a run. It shows the owner to people; it proves nothing, since any user can set it. */
export const RUN_LABEL = "meshproof.dev/run";
/** Label on a run's journal in its cluster, which goes when everything in it is gone. */
export const JOURNAL_LABEL = "meshproof.dev/journal";
export const MANAGED_BY = { "app.kubernetes.io/managed-by": "meshproof" } as const;

/** Annotation that distinguishes an object that a run created from a similar one, before its uid is known. */
export const NONCE_ANNOTATION = "meshproof.dev/nonce";

/** An object that this run created. */
export interface Own {
  readonly uid: string;
  readonly nonce: string;
}

/**
 * The objects that a run has created on an existing cluster. Ownership is proved by a uid that the API server returned to
 * this run's creation, never by a name or a label.
 */
export class Ledger {
  readonly scope: JournalScope;
  readonly #file: string;
  readonly #nonce = randomBytes(16).toString("hex");
  readonly #own = new Map<string, Own>();
  readonly #noted = new Set<string>();

  private constructor(file: string, scope: JournalScope) {
    this.#file = file;
    this.scope = scope;
  }

  /** @throws MeshproofError ERR_JOURNAL if the file is not a run's journal */
  static open(file: string): Ledger {
    const [head] = readJournal(file).records;
    const scope = head as Partial<JournalScope> | undefined;
    if (typeof scope?.run !== "string" || !Array.isArray(scope.namespaces) || typeof scope.inCluster !== "object")
      throw new MeshproofError("ERR_JOURNAL", `${file} is not the journal of a run`);
    return new Ledger(file, scope as JournalScope);
  }

  /** Records an object before it is created. @returns the record, the first time */
  intend(ref: ObjectRef): ObjectRecord | undefined {
    const key = keyOf(ref);
    if (this.#noted.has(key)) return undefined;
    const record = { ...ref, nonce: this.#nonce };
    writeJournal(this.#file, record);
    this.#noted.add(key);
    return record;
  }

  /** Records the uid of an object that the API server has created. @returns the record */
  created(ref: ObjectRef, uid: string): ObjectRecord {
    const record = { ...ref, nonce: this.#nonce, uid };
    this.#own.set(keyOf(ref), { uid, nonce: this.#nonce });
    writeJournal(this.#file, record);
    return record;
  }

  removed(ref: ObjectRef): void {
    this.#own.delete(keyOf(ref));
  }

  /** Looks an object up in this process, without a request. */
  own(ref: ObjectRef): Own | undefined {
    return this.#own.get(keyOf(ref));
  }

  /** Whether any process of this run has recorded that it creates such an object. */
  names(ref: ObjectRef): boolean {
    return this.#records(ref).length > 0;
  }

  /** Returns the ownership of a found object if any process of this run created it, and remembers it. */
  recognise(ref: ObjectRef, found: KubernetesObject): Own | undefined {
    const own = ownOf(this.#records(ref), found);
    if (own !== undefined) this.#own.set(keyOf(ref), own);
    return own;
  }

  /** Adds the label and annotation of this run, for people and for the proof of removal. */
  mark<T extends KubernetesObject>(manifest: T, nonce = this.#nonce): T {
    const { metadata } = manifest;
    return {
      ...manifest,
      metadata: {
        ...metadata,
        labels: { ...metadata?.labels, ...MANAGED_BY, [RUN_LABEL]: this.scope.run },
        annotations: { ...metadata?.annotations, [NONCE_ANNOTATION]: nonce },
      },
    };
  }

  #records(ref: ObjectRef): ObjectRecord[] {
    return readJournal(this.#file)
      .records.flatMap((record) => asObjectRecord(record) ?? [])
      .filter((record) => sameObject(record, ref));
  }
}

/** Proves that an object is the one in these records: by its uid, or by its nonce if no uid was recorded. */
export function ownOf(records: readonly ObjectRecord[], found: KubernetesObject): Own | undefined {
  const uid = found.metadata?.uid;
  const nonce = found.metadata?.annotations?.[NONCE_ANNOTATION] ?? "";
  if (uid === undefined) return undefined;
  const byUid = records.find((record) => record.uid === uid);
  if (byUid !== undefined) return { uid, nonce: byUid.nonce };
  return records.some((record) => record.nonce === nonce) ? { uid, nonce } : undefined;
}
