/** What meshproof brings for every folder of scenarios, which may have issuers and workloads of its own beside it. */

import { existsSync } from "node:fs";
import path from "node:path";

/** Meshproof's own folder `scenarios`. */
export const BROUGHT = path.join(import.meta.dirname, "../../scenarios");

/** The folders of issuers for a folder of scenarios: an issuer of a later one replaces that of the same name. */
export function issuersDirsOf(root: string): readonly string[] {
  return bothOf(root, "issuers");
}

/** The folders of workloads for a folder of scenarios, likewise. */
export function workloadsDirsOf(root: string): readonly string[] {
  return bothOf(root, "workloads");
}

/** The folder of a workload: the scenarios' own, or meshproof's. */
export function workloadDirOf(root: string, app: string): string {
  const folders = workloadsDirsOf(root).map((folder) => path.join(folder, app));
  return folders.findLast((folder) => existsSync(folder)) ?? path.join(root, "workloads", app);
}

function bothOf(root: string, part: string): readonly string[] {
  return [...new Set([path.join(BROUGHT, part), path.resolve(root, part)])];
}
