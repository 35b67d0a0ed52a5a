/** Where things are, and the loading that several verbs begin with. */

import { fileURLToPath } from "node:url";
import path from "node:path";
import { invalidScenarios, loadScenarios, selectScenarios } from "../harness/scenario/index.ts";
import type { Scenario } from "../harness/scenario/types.ts";

/** The folder of package.json. */
export const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** The scenarios that meshproof brings. */
export const SCENARIOS = path.join(PROJECT, "scenarios");

/** Kinds of clusters that meshproof makes itself. */
export const MADE_KINDS = ["embedded", "kind"] as const;
export type MadeKind = (typeof MADE_KINDS)[number];

/** The name of a kept cluster where none is given. */
export const DEFAULT_NAME = "default";

/**
 * Loads all scenarios and selects some.
 * @throws MeshproofError ERR_SCENARIO_INVALID with every problem of every scenario, ERR_NOTHING_SELECTED
 */
export async function readScenarios(
  folder: string,
  names: readonly string[],
  tags: readonly string[],
): Promise<Scenario[]> {
  const { scenarios, problems } = await loadScenarios(path.resolve(folder));
  if (problems.length > 0) throw invalidScenarios(problems);
  return selectScenarios(scenarios, { names, tags });
}
