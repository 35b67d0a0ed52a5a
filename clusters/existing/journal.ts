import { readdirSync, rmSync } from "node:fs";
import path from "node:path";
import { readJournal, writeJournal, type ObjectRef } from "../../harness/kube/journal.ts";
import { findOwnFolder, makeOwnFolder, placeOfUser } from "../../harness/own.ts";
import { startOf } from "../process.ts";

/** Journals name what `cleanup` deletes, and by which programs it logs in. */
const SECRET = { secret: true, hint: "set XDG_STATE_HOME to a folder of your own" } as const;

/** The first line of a journal: whose run it is, and how its cluster is reached again. */
export interface JournalHead {
  readonly run: string;
  readonly pid: number;
  /** What tells the process from a later one of the same id. */
  readonly started: string;
  /** Absolute path; undefined where kubectl's own was read. */
  readonly kubeconfig?: string;
  readonly context: string;
  readonly allowExec: readonly string[];
  /** The run's own namespaces: with them goes what is in them. */
  readonly namespaces: readonly string[];
}

export interface Journal {
  readonly file: string;
  readonly head: JournalHead;
  readonly objects: readonly ObjectRef[];
}

/** `$XDG_STATE_HOME/meshproof/journals`: it must outlive a restart of the machine. */
function journalFolder(): string {
  return path.join(placeOfUser("XDG_STATE_HOME", ".local/state"), "meshproof/journals");
}

/** Begins a run's journal. @returns its file. */
export function beginJournal(head: Omit<JournalHead, "pid" | "started">): string {
  const file = path.join(makeOwnFolder(journalFolder(), SECRET), `${head.run}.jsonl`);
  writeJournal(file, { ...head, pid: process.pid, started: lifeOf(process.pid) ?? "" });
  return file;
}

/** Journals that are there, oldest first. @throws ERR_FOREIGN_FILE where their folder is not this user's alone. */
export function listJournals(): Journal[] {
  const folder = findOwnFolder(journalFolder(), SECRET);
  if (folder === undefined) return [];
  return readdirSync(folder)
    .filter((name) => name.endsWith(".jsonl"))
    .sort()
    .flatMap((name) => {
      const file = path.join(folder, name);
      const [head, ...objects] = readJournal(file);
      return head === undefined ? [] : [{ file, head: head as JournalHead, objects: objects as ObjectRef[] }];
    });
}

/** To be called when everything in it is gone. */
export function endJournal(file: string): void {
  rmSync(file, { force: true });
}

/** Whether the run's process still lives. */
export function isAlive({ pid, started }: JournalHead): boolean {
  return lifeOf(pid) === started;
}

/** When a process began; where there is no /proc, only that it lives. */
function lifeOf(pid: number): string | undefined {
  if (process.platform === "linux") return startOf(pid);
  try {
    process.kill(pid, 0);
    return "alive";
  } catch {
    return undefined;
  }
}
