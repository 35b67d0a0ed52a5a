import { existsSync, readdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { dirname } from "node:path";
import { isOwn } from "../../harness/own.ts";
import { docker } from "./docker.ts";
import { startOf } from "../process.ts";
import { host, isOrphan, LABEL, type Surroundings } from "./labels.ts";

/** An object of meshproof in Docker. */
export interface Found {
  readonly kind: "container" | "volume" | "network";
  readonly id: string;
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  /** Whether it is a running container. */
  readonly running: boolean;
}

/** Any user can set a label, so only such a folder is removed because of it. */
const OUR_FOLDER = /^\/[^\0]*\/meshproof-\d+\/kind\.[a-z0-9-]+$/;

const AROUND: Surroundings = { host: host(), startOf, exists: isThere };

/**
 * Removes containers, volumes and networks whose owner has ended, by their labels. Kept clusters stay.
 * @returns what was removed, such as `container meshproof-kind-run-4711`.
 * @throws the errors of {@link docker}.
 */
export async function sweepKind(): Promise<string[]> {
  return removeFound((await findOurs()).filter(({ labels }) => isOrphan(labels, AROUND)));
}

/** Finds meshproof's objects in Docker, of one cluster or of all; containers first, because they use the others. */
export async function findOurs(cluster?: string): Promise<Found[]> {
  const filter = ["--filter", `label=${LABEL.cluster}${cluster === undefined ? "" : `=${cluster}`}`, "--quiet"];
  const found: Found[] = [];
  for (const kind of ["container", "volume", "network"] as const) {
    const ids = (await docker([kind, "ls", ...(kind === "container" ? ["--all"] : []), ...filter])).split(/\s+/);
    for (const id of ids.filter((id) => id !== "")) {
      // It may have been removed since.
      const text = await docker([kind, "inspect", id]).catch(() => "[]");
      const [facts] = JSON.parse(text) as Inspected[];
      const labels = facts?.Config?.Labels ?? facts?.Labels;
      if (facts && labels)
        found.push({ kind, id, labels, name: facts.Name.replace(/^\//, ""), running: facts.State?.Running === true });
    }
  }
  return found;
}

interface Inspected {
  readonly Name: string;
  readonly Labels?: Readonly<Record<string, string>>;
  readonly Config?: { readonly Labels?: Readonly<Record<string, string>> };
  readonly State?: { readonly Running?: boolean };
}

/** Removes them, and the folder with the kubeconfig of each cluster among them. */
export async function removeFound(found: readonly Found[]): Promise<string[]> {
  const removed = [];
  for (const { kind, id, name, labels } of found) {
    await docker(
      [kind, "rm", "--force", ...(kind === "container" ? ["--volumes"] : []), id].filter(accepted(kind)),
    ).catch((error: Error) => {
      // Another process, or Ryuk, removed it first.
      if (!/no such|in progress/i.test(error.message)) throw error;
    });
    const folder = labels[LABEL.folder];
    if (folder !== undefined && OUR_FOLDER.test(folder) && isOwn(dirname(folder)) && isOwn(folder))
      await rm(folder, { recursive: true }).catch(() => undefined);
    removed.push(`${kind} ${name}`);
  }
  return removed;
}

/** `docker network rm` has no --force before Docker 24. */
const accepted =
  (kind: Found["kind"]) =>
  (argument: string): boolean =>
    kind !== "network" || argument !== "--force";

/** Whether a file exists; true if this user may not check. */
function isThere(file: string): boolean {
  if (existsSync(file)) return true;
  try {
    readdirSync(dirname(file));
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES";
  }
}
