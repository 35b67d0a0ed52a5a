import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { MeshproofError } from "../model/errors.ts";

/** The fields that identify an object to the API server. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/** An object that a run is about to create, or has created. */
export interface ObjectRecord extends ObjectRef {
  /** 128 random bits, in an annotation of the new object: they identify the object if the response to its creation is lost. */
  readonly nonce: string;
  /** Set once the API server has returned it. */
  readonly uid?: string;
}

/** The first record of a run's journal: it decides what the run may create. */
export interface JournalScope {
  readonly run: string;
  /** The run's own namespaces: removing them removes the objects in them. */
  readonly namespaces: readonly string[];
  /** Whether objects may affect anything outside these namespaces. */
  readonly meshWide: boolean;
  /** A ConfigMap in the cluster that also lists the objects outside them, for a cleanup from another machine. */
  readonly inCluster: { readonly namespace: string; readonly name: string };
}

/** Writes bytes to a file; tests replace it by a full disk. */
export type Write = (descriptor: number, bytes: Uint8Array, offset: number) => number;

/**
 * Appends a record to a journal and returns when it is on the disk: an object created afterwards can be found even if
 * this process is killed. Several processes of a run may write to one journal. Each record has its own line, also after
 * a line that was cut off.
 * @throws MeshproofError ERR_JOURNAL if it cannot be written completely
 */
export function writeJournal(file: string, record: object, write: Write = writeSync): void {
  try {
    const descriptor = openSync(file, "a", 0o600);
    try {
      const bytes = Buffer.from(`\n${JSON.stringify(record)}\n`);
      for (let written = 0; written < bytes.length;) {
        const more = write(descriptor, bytes, written);
        if (more <= 0) throw new Error("the disk takes no more");
        written += more;
      }
      fsyncSync(descriptor);
    } finally {
      closeSync(descriptor);
    }
  } catch (cause) {
    throw new MeshproofError("ERR_JOURNAL", `the journal ${file} cannot be written: ${(cause as Error).message}`, {
      hint: "meshproof records each object there before it creates it: free disk space, or set XDG_STATE_HOME to another folder",
      cause,
    });
  }
}

export interface ReadJournal {
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Lines that are not a record. A line that was cut off names an object that was not created, or that has an earlier record. */
  readonly unreadable: number;
}

/** Reads the records of a journal and counts the lines that cannot be read. */
export function readJournal(file: string): ReadJournal {
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line !== "");
  const records = lines.flatMap((line): Record<string, unknown>[] => {
    try {
      const value = JSON.parse(line) as Record<string, unknown> | string | number | boolean | null;
      return typeof value === "object" && value !== null ? [value] : [];
    } catch {
      return [];
    }
  });
  return { records, unreadable: lines.length - records.length };
}

/** The value as an object record; undefined if it is something else. */
export function asObjectRecord(value: unknown): ObjectRecord | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const record = value as Record<string, unknown>;
  const texts = ["apiVersion", "kind", "name", "nonce"].every((key) => typeof record[key] === "string");
  const rest = ["namespace", "uid"].every((key) => record[key] === undefined || typeof record[key] === "string");
  return texts && rest ? (value as ObjectRecord) : undefined;
}

export function sameObject(a: ObjectRef, b: ObjectRef): boolean {
  return keyOf(a) === keyOf(b);
}

/** A key of an object that is the same for every version of its API. */
export function keyOf({ apiVersion, kind, namespace = "", name }: ObjectRef): string {
  return `${groupOf(apiVersion)} ${kind} ${namespace}/${name}`;
}

/** `security.istio.io` for `security.istio.io/v1`; empty for `v1`. */
export function groupOf(apiVersion: string): string {
  return apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
}

export function manifestOf({ apiVersion, kind, namespace, name }: ObjectRef) {
  return { apiVersion, kind, metadata: { name, ...(namespace === undefined ? {} : { namespace }) } };
}

export function namedAs({ kind, namespace, name }: ObjectRef): string {
  return `${kind} ${namespace === undefined ? "" : `${namespace}/`}${name}`;
}
