/** Reads the results of several runs. */

import { readdir, stat } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../harness/model/errors.ts";
import type { PlacedRun } from "../harness/trend/trend.ts";
import { readResults } from "../reports/index.ts";

interface Read {
  readonly runs: PlacedRun[];
  /** What could not be read, and why. */
  readonly leftOut: string[];
}

/**
 * Reads runs by the names of results.json files, of runs' folders, and of folders of runs. Each run counts once, however often it is named.
 * @throws MeshproofError ERR_USAGE if something that was named cannot be read; what a folder of runs contains is left out then
 */
export async function readPlaces(places: readonly string[]): Promise<Read> {
  const found = new Map<string, PlacedRun>();
  const leftOut: string[] = [];
  for (const place of places) {
    const isFolder = (await stat(place).catch(() => undefined))?.isDirectory() === true;
    const isRun = !isFolder || (await readdir(place)).includes("results.json");
    const read = isRun
      ? { runs: [{ folder: isFolder ? place : path.dirname(place), result: await readResults(place) }], leftOut: [] }
      : await readRuns(place);
    for (const run of read.runs) found.set(run.result.id, found.get(run.result.id) ?? run);
    leftOut.push(...read.leftOut);
  }
  return { runs: [...found.values()], leftOut };
}

/** Reads every folder with a results.json; `latest` is a link to one of them. Unreadable folders are reported. */
export async function readRuns(folder: string): Promise<Read> {
  const entries = await readdir(folder, { withFileTypes: true }).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `${folder} cannot be read: ${(cause as Error).message}`, { cause });
  });
  const runs: PlacedRun[] = [];
  const leftOut: string[] = [];
  // One after the other, because reading a result needs many times its size in memory.
  for (const { name } of entries.filter((entry) => entry.isDirectory())) {
    const place = path.join(folder, name);
    if (!(await readdir(place)).includes("results.json")) continue;
    try {
      runs.push({ folder: place, result: await readResults(place) });
    } catch (error) {
      leftOut.push((error as Error).message);
    }
  }
  return { runs, leftOut };
}
