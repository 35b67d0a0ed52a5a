import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import type { KubeConfig } from "@kubernetes/client-node";
import type { Kube } from "../../harness/mesh/client.ts";
import {
  asObjectRecord,
  readJournal,
  writeJournal,
  type JournalScope,
  type ObjectRecord,
} from "../../harness/mesh/journal.ts";
import { findOwnFolder, makeOwnFolder, placeOfUser } from "../../harness/own.ts";
import { lifeOf, thisProcess, type ProcessIdentity } from "../process.ts";

/** Journals name the objects that `cleanup` deletes, and the programs that it runs to log in. */
const SECRET = { secret: true, hint: "set XDG_STATE_HOME to a folder of your own" } as const;

/** Identifies a cluster, independent of the names of contexts. */
export interface ClusterIdentity {
  readonly server: string;
  /** SHA-256 of the certificate authority that verifies the server; empty without one. */
  readonly ca: string;
  /** The uid of the namespace kube-system, which exists as long as its cluster. */
  readonly uid: string;
}

/** The first record of a journal: the run, and how to connect to its cluster again. */
export interface JournalHead extends JournalScope {
  /** Undefined if its machine has no /proc. */
  readonly process?: ProcessIdentity;
  /** Absolute path; undefined if kubectl's default was read. */
  readonly kubeconfig?: string;
  readonly context: string;
  readonly allowExec: readonly string[];
  readonly cluster: ClusterIdentity;
}

export interface Journal {
  readonly file: string;
  readonly head: JournalHead;
  readonly objects: readonly ObjectRecord[];
  /** Lines that could not be read. */
  readonly unreadable: number;
}

/** `$XDG_STATE_HOME/meshproof/journals`: it must outlive a restart of the machine. */
export function journalFolder(): string {
  return path.join(placeOfUser("XDG_STATE_HOME", ".local/state"), "meshproof/journals");
}

/** Starts a run's journal. @returns its file. @throws MeshproofError ERR_JOURNAL; no file is left then. */
export function beginJournal(head: Omit<JournalHead, "process">): string {
  const file = path.join(makeOwnFolder(journalFolder(), SECRET), `${head.run}.jsonl`);
  const own = thisProcess();
  try {
    writeJournal(file, { ...head, ...(own === undefined ? {} : { process: own }) });
  } catch (error) {
    rmSync(file, { force: true });
    throw error;
  }
  return file;
}

/** Reads a run's journal. @throws Error with the reason if it cannot be read. */
export function openJournal(file: string): Journal {
  const { records, unreadable } = readJournal(file);
  const head = records.find((record) => asObjectRecord(record) === undefined);
  if (!isHead(head)) throw new Error("its first record does not name its run and its cluster");
  return { file, head, objects: records.flatMap((record) => asObjectRecord(record) ?? []), unreadable };
}

function isHead(value: unknown): value is JournalHead {
  const { run, context, namespaces, cluster, inCluster } = (value ?? {}) as Partial<JournalHead>;
  return (
    typeof run === "string" &&
    typeof context === "string" &&
    Array.isArray(namespaces) &&
    typeof inCluster?.name === "string" &&
    typeof cluster?.uid === "string"
  );
}

export interface FoundJournals {
  /** Oldest first. */
  readonly journals: readonly Journal[];
  /** Files that are not a journal, with the reason; the others are still used. */
  readonly broken: readonly string[];
}

/** All journals of this machine. @throws ERR_FOREIGN_FILE if their folder is not this user's alone. */
export function listJournals(): FoundJournals {
  const folder = findOwnFolder(journalFolder(), SECRET);
  if (folder === undefined) return { journals: [], broken: [] };
  const names = readdirSync(folder);
  const journals: Journal[] = [];
  const broken: string[] = [];
  for (const name of names.filter((each) => each.endsWith(".jsonl")).sort()) {
    const file = path.join(folder, name);
    try {
      journals.push(openJournal(file));
    } catch (error) {
      // A journal that was removed during the listing is not broken.
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") broken.push(`${file}: ${(error as Error).message}`);
    }
  }
  return { journals, broken };
}

/** Removes a journal; call it when everything in it is gone. */
export function endJournal(file: string): void {
  rmSync(file, { force: true });
}

/** Whether the run's process is known to be alive. If that is not known here, the Lease in the cluster shows it. */
export function isAlive({ process: its }: JournalHead): boolean {
  return its !== undefined && lifeOf(its) === "alive";
}

/** @throws the client's error if the namespace kube-system cannot be read */
export async function identify(kube: Kube): Promise<ClusterIdentity> {
  const { metadata } = await kube.core.readNamespace({ name: "kube-system" });
  const server = kube.config.getCurrentCluster()?.server ?? "";
  return { server, ca: authorityOf(kube.config), uid: metadata?.uid ?? "" };
}

function authorityOf(config: KubeConfig): string {
  const { caData, caFile } = config.getCurrentCluster() ?? {};
  const bytes = caData ? Buffer.from(caData, "base64") : caFile ? readFileSync(caFile) : undefined;
  return bytes === undefined ? "" : createHash("sha256").update(bytes).digest("hex");
}

/** The difference between two clusters, as a clause; undefined if they are the same. */
export function differenceOf(before: ClusterIdentity, now: ClusterIdentity): string | undefined {
  const words = { uid: "uid of kube-system", server: "server", ca: "certificate authority (SHA-256)" } as const;
  const keys = (["uid", "server", "ca"] as const).filter(
    (key) => before[key] !== now[key] || (key === "uid" && before.uid === ""),
  );
  return keys.length === 0
    ? undefined
    : keys
        .map((key) => `its ${words[key]} was ${before[key] || "not known"} and is ${now[key] || "not known"}`)
        .join(", ");
}
