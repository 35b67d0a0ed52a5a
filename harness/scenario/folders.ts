/** Reads the files and folders of scenarios. */

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { inLanes } from "../lanes.ts";
import { workloadsDirsOf } from "./brought.ts";
import { idOf } from "./select.ts";

/** The file that makes a folder a scenario. */
export const FILE = "scenario.yaml";

/** `<group>/<name>` of every folder that may be a scenario's. */
export async function idsIn(root: string): Promise<string[]> {
  const groups = (await foldersOf(root)).filter((group) => group !== "workloads" && group !== "issuers");
  return (
    await inLanes(groups, async (group) => (await foldersOf(join(root, group))).map((name) => `${group}/${name}`))
  ).flat();
}

/**
 * The ids of the scenarios that are named, if each name is that of one scenario and its folder is there. The others need not be read then,
 * and a mistake in one of them is not found.
 */
export async function idsNamed(root: string, names: readonly string[]): Promise<string[] | undefined> {
  const ids = [...new Set(names.map(idOf))].sort();
  if (ids.length === 0 || ids.some((id) => !/^[\w-][\w.-]*\/[\w-][\w.-]*$/.test(id))) return undefined;
  const found = await inLanes(ids, (id) => readIfThere(join(root, id, FILE)));
  return found.includes(undefined) ? undefined : ids;
}

/** The names of the workloads that scenarios of a folder may need. */
export async function workloadNames(root: string): Promise<string[]> {
  const found = await inLanes(workloadsDirsOf(root), foldersOf);
  return [...new Set(found.flat())].sort();
}

/** The names of a folder's subfolders; empty if the folder does not exist. */
export async function foldersOf(path: string): Promise<string[]> {
  const entries = await readdir(path, { withFileTypes: true }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return [];
    throw error;
  });
  return entries
    .filter((entry) => entry.isDirectory() && !entry.name.startsWith("."))
    .map(({ name }) => name)
    .sort();
}

/** The text of a folder's YAML files, by name. */
export async function readManifests(folder: string): Promise<Map<string, string>> {
  const entries = await readdir(folder).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return [];
    throw error;
  });
  const names = entries.filter((name) => /^[^.].*\.ya?ml$/.test(name)).sort();
  return new Map(await inLanes(names, async (name) => [name, await readFile(join(folder, name), "utf8")] as const));
}

export async function readIfThere(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
}
