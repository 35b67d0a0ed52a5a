import { closeSync, fsyncSync, openSync, readFileSync, writeSync } from "node:fs";
import { MeshproofError } from "../model/errors.ts";

/** What names an object to the API server. */
export interface ObjectRef {
  readonly apiVersion: string;
  readonly kind: string;
  readonly namespace?: string;
  readonly name: string;
}

/** An object that a run is about to create, or has created. */
export interface ObjectRecord extends ObjectRef {
  /** Of 128 random bits, in an annotation of what is created: by it an object whose creation was not answered is known again. */
  readonly nonce: string;
  /** Once the API server has said it. */
  readonly uid?: string;
}

/** What of a run's journal decides what the run may create. */
export interface JournalScope {
  readonly run: string;
  /** The run's own namespaces: what is in them goes with them. */
  readonly namespaces: readonly string[];
  /** Whether objects may reach beyond them. */
  readonly meshWide: boolean;
  /** A ConfigMap of the cluster that has what is beyond them as well, for who cleans up from another machine. */
  readonly inCluster: { readonly namespace: string; readonly name: string };
}

/** How bytes reach a file; tests have a disk that is full. */
export type Write = (descriptor: number, bytes: Uint8Array, offset: number) => number;

/**
 * Adds a record to a journal and returns when it is on the disk: what is created afterwards can be found again, whatever
 * happens to this process. Several processes of a run may write to one journal. A record has a line of its own, also after one
 * that was cut off.
 * @throws MeshproofError ERR_JOURNAL where it cannot be written as a whole
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
      hint: "nothing is created that is not written down first: make room there, or set XDG_STATE_HOME to another place",
      cause,
    });
  }
}

export interface ReadJournal {
  readonly records: readonly Readonly<Record<string, unknown>>[];
  /** Lines that are not a record. A line that was cut off is an object that was not created, or one that has its record before. */
  readonly unreadable: number;
}

/** The records of a journal. A line that cannot be read costs itself only. */
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

/** A record of an object; undefined where it is something else. */
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

/** The same for an object under every version of its API. */
export function keyOf({ apiVersion, kind, namespace = "", name }: ObjectRef): string {
  return `${groupOf(apiVersion)} ${kind} ${namespace}/${name}`;
}

/** `security.istio.io` of `security.istio.io/v1`, and nothing of `v1`. */
export function groupOf(apiVersion: string): string {
  return apiVersion.includes("/") ? (apiVersion.split("/")[0] ?? "") : "";
}
