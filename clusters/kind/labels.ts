import { readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { startOf } from "../process.ts";

/** What every container and volume of ours carries. */
export const LABEL = {
  /** The cluster's name. */
  cluster: "dev.meshproof/cluster",
  /** Where process numbers mean something: the machine and its PID namespace. */
  host: "dev.meshproof/host",
  /** The process that made it. */
  pid: "dev.meshproof/owner-pid",
  /** When that process began: its number may be another's by now. */
  started: "dev.meshproof/owner-started",
  /** The cluster's folder on that machine. */
  folder: "dev.meshproof/folder",
  /** For a cluster that outlives its owner: the file that says that it is complete. */
  kept: "dev.meshproof/kept",
} as const;

type Labels = Readonly<Record<string, string>>;

export interface Ownership {
  readonly cluster: string;
  /** Where its kubeconfig is. */
  readonly folder?: string;
  /** For a cluster that outlives this process: the file that says that it is complete. */
  readonly kept?: string;
}

/** Labels that say whose a container or volume is: this process's. */
export function ownerLabels({ cluster, folder, kept }: Ownership): Labels {
  return {
    [LABEL.cluster]: cluster,
    [LABEL.host]: host(),
    [LABEL.pid]: `${process.pid}`,
    [LABEL.started]: startOf(process.pid) ?? "",
    ...(folder === undefined ? {} : { [LABEL.folder]: folder }),
    ...(kept === undefined ? {} : { [LABEL.kept]: kept }),
  };
}

export function labelArguments(labels: Labels): string[] {
  return Object.entries(labels).flatMap(([key, value]) => ["--label", `${key}=${value}`]);
}

/** What {@link isOrphan} must know of the world. */
export interface Surroundings {
  readonly host: string;
  /** When a process began; undefined where there is none of this number. */
  startOf(pid: number): string | undefined;
  /** Whether a file is there. True where that cannot be said. */
  exists(file: string): boolean;
}

/**
 * Whether nobody is left who would remove what carries these labels: its owner has ended, and it is no cluster that was
 * to be kept and got complete. What another machine made is never an orphan: nobody here knows its owner.
 */
export function isOrphan(labels: Labels, around: Surroundings): boolean {
  if (!labels[LABEL.cluster] || labels[LABEL.host] !== around.host) return false;
  if (around.startOf(Number(labels[LABEL.pid])) === labels[LABEL.started]) return false;
  const kept = labels[LABEL.kept];
  return kept === undefined || !around.exists(kept);
}

/** The machine and the PID namespace, as text. */
export function host(): string {
  try {
    return `${hostname()} ${readlinkSync("/proc/self/ns/pid")}`;
  } catch {
    return hostname();
  }
}
