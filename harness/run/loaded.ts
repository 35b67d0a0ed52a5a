import { readFile } from "node:fs/promises";
import { invalidScenarios, loadScenarios } from "../scenario/index.ts";
import { ownKnownFailures, parseKnownFailures, type KnownFailureEntry } from "../known-failures.ts";
import type { Scenario } from "../model/scenario.ts";
import { readUserFile } from "../user-file.ts";
import { findAlone, type Alone } from "./lane.ts";
import { groundOf } from "../mesh-test/test-id.ts";
import type { Ground } from "./plan.ts";
import { projectOf, type RunSettings } from "./settings.ts";

/** What a process has read, by the folder that it was read from. A process has one cluster. */
const loading = new Map<string, Promise<readonly Scenario[]>>();
const alone = new Map<string, Promise<ReadonlyMap<string, Alone>>>();

/**
 * All scenarios of a run's folder, read once in each process: their YAML takes a second, and a worker is replaced after each test
 * that fails.
 * @throws MeshproofError ERR_SCENARIO_INVALID
 */
export function scenariosOf(settings: RunSettings): Promise<readonly Scenario[]> {
  return once(loading, settings.scenarios, () => load(settings));
}

/** Those of them that the settings select, in the same order. */
export async function selectedOf(settings: RunSettings): Promise<readonly Scenario[]> {
  const { ids } = settings;
  const scenarios = await scenariosOf(settings);
  return ids === undefined ? scenarios : scenarios.filter(({ id }) => ids.includes(id));
}

/**
 * The scenarios whose remains a worker removes: all on a cluster that is ours, where an earlier run may have left some; elsewhere those
 * that run, as the user may list no other kinds.
 */
export async function sweptOf(
  settings: RunSettings,
  { handle, skipped, refused }: Pick<Ground, "handle" | "skipped" | "refused">,
): Promise<readonly Scenario[]> {
  if (handle.ours) return scenariosOf(settings);
  return (await selectedOf(settings)).filter(({ id }) => !(id in skipped) && !(id in refused));
}

/** Which of those that are selected run alone, found once in each process. See {@link findAlone}. */
export function aloneOf(settings: RunSettings): Promise<ReadonlyMap<string, Alone>> {
  return once(alone, settings.scenarios, async () => findAlone(settings, await selectedOf(settings)));
}

function once<T>(known: Map<string, Promise<T>>, key: string, make: () => Promise<T>): Promise<T> {
  const found = known.get(key) ?? make();
  known.set(key, found);
  return found;
}

/**
 * The known failures of these scenarios: their own, and those of the settings' file but for those of scenarios that are left to
 * other runs.
 * @throws MeshproofError ERR_USAGE where the file cannot be read or is wrong
 */
export async function knownFailuresOf(
  { knownFailures: file, elsewhere = [] }: Pick<RunSettings, "knownFailures" | "elsewhere">,
  scenarios: readonly Scenario[],
): Promise<KnownFailureEntry[]> {
  const listed =
    file === undefined ? [] : parseKnownFailures(await readUserFile(file, { what: "the known failures" }), file);
  return [...ownKnownFailures(scenarios), ...listed.filter(({ scenario }) => !elsewhere.includes(scenario))];
}

async function load(settings: RunSettings): Promise<readonly Scenario[]> {
  if (settings.tests !== undefined) return [groundOf(settings.tests.workloads)];
  if (settings.loaded !== undefined) return JSON.parse(await readFile(settings.loaded, "utf8")) as Scenario[];
  const { scenarios, problems } = await loadScenarios(settings.scenarios, {
    base: projectOf(settings),
    namespaces: settings.namespaces,
  });
  if (problems.length > 0) throw invalidScenarios(problems);
  return scenarios;
}
