import { invalidScenarios, loadScenarios } from "../scenario/index.ts";
import type { Scenario } from "../model/scenario.ts";
import { projectOf, type RunSettings } from "./settings.ts";

const loading = new Map<string, Promise<readonly Scenario[]>>();

/**
 * All scenarios of a run's folder, read once in each process: it takes half a second, and a worker is replaced after each test
 * that fails.
 * @throws MeshproofError ERR_SCENARIO_INVALID
 */
export function scenariosOf(settings: RunSettings): Promise<readonly Scenario[]> {
  const found = loading.get(settings.scenarios) ?? load(settings);
  loading.set(settings.scenarios, found);
  return found;
}

async function load(settings: RunSettings): Promise<readonly Scenario[]> {
  const { scenarios, problems } = await loadScenarios(settings.scenarios, projectOf(settings));
  if (problems.length > 0) throw invalidScenarios(problems);
  return scenarios;
}
