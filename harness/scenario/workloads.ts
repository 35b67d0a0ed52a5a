/** The workloads that scenarios need, and their manifests. */

import { readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { MeshproofError } from "../model/errors.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { Scenario } from "../model/scenario.ts";
import { workloadDirOf } from "./brought.ts";
import { parseManifest } from "./manifest.ts";

/** The folders of scenarios/workloads that scenarios need: what they list, and what their places and servers imply. */
export function workloadsOf(scenarios: readonly Scenario[]): string[] {
  const apps = new Set<string>();
  for (const scenario of scenarios) {
    for (const app of scenario.workloads) apps.add(app);
    if (scenario.features.includes("outside-host")) apps.add("outside-host");
    for (const step of scenario.steps) {
      for (const check of step.checks) apps.add(check.request.from);
      for (const asked of step.asked) apps.add(asked.server);
    }
  }
  return [...apps].sort();
}

/** A workload's manifests, as they are in the file. @throws ERR_SCENARIO_INVALID where there is no such workload. */
export async function readWorkload(scenariosRoot: string, app: string): Promise<ManifestFile[]> {
  const folder = workloadDirOf(scenariosRoot, app);
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new MeshproofError("ERR_SCENARIO_INVALID", `there is no workload ${app} (looked for the folder ${folder})`, {
      cause,
    });
  });
  const files = names.filter((name) => name.endsWith(".yaml")).sort();
  return await Promise.all(
    files.map(async (name) => {
      const file = path.join(folder, name);
      return parseManifest(await readFile(file, "utf8"), file);
    }),
  );
}
