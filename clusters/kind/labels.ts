import { readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { startOf } from "../process.ts";

/** Labels on every container and volume of meshproof. */
export const LABEL = {
  /** The cluster's name. */
  cluster: "dev.meshproof/cluster",
  /** The machine and its PID namespace, in which the owner's pid is valid. */
  host: "dev.meshproof/host",
  /** Pid of the process that created it. */
  pid: "dev.meshproof/owner-pid",
  /** Start time of that process, since its pid may be reused. */
  started: "dev.meshproof/owner-started",
  /** The cluster's folder on that machine. */
  folder: "dev.meshproof/folder",
  /** For a cluster that outlives its owner: the file that exists once it is complete. */
  kept: "dev.meshproof/kept",
} as const;

type Labels = Readonly<Record<string, string>>;

export interface Ownership {
  readonly cluster: string;
  /** Folder of its kubeconfig. */
  readonly folder?: string;
  /** For a cluster that outlives this process: the file that exists once it is complete. */
  readonly kept?: string;
}

/** Labels that name this process as the owner of a container or volume. */
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

/** Functions that {@link isOrphan} needs. */
export interface Surroundings {
  readonly host: string;
  /** Start time of a process; undefined if no process has this pid. */
  startOf(pid: number): string | undefined;
  /** Whether a file exists. True if that is not known. */
  exists(file: string): boolean;
}

/**
 * Whether a container or volume with these labels is an orphan: its owner has ended, and it is not a complete cluster that was
 * started with --keep. Objects of another machine are never orphans, since their owners are not known here.
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
