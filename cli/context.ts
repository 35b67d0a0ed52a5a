/** Paths of the project, and loading scenarios for several verbs. */

import { existsSync, readdirSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import path from "node:path";
import { MeshproofError } from "../harness/model/errors.ts";
import { BROUGHT } from "../harness/scenario/brought.ts";
import { readConfig } from "./config.ts";
import { warn } from "./streams.ts";
import type { Loaded, LoadOptions } from "../harness/scenario/load.ts";
import type { Scenario } from "../harness/model/scenario.ts";

/** The folder of package.json. */
export const PROJECT = fileURLToPath(new URL("..", import.meta.url));

/** The end of the names of this program's own files: `.ts` in a clone, `.js` in a package. */
export const EXTENSION = path.extname(import.meta.filename);

/** Folder of meshproof's own scenarios. */
export const SCENARIOS = BROUGHT;

/** Kinds of clusters that meshproof creates. */
export const MADE_KINDS = ["embedded", "kind"] as const;
export type MadeKind = (typeof MADE_KINDS)[number];

/** Default name of a kept cluster. */
export const DEFAULT_NAME = "default";

/**
 * Loads scenarios and selects some.
 * @throws MeshproofError ERR_SCENARIO_INVALID with every problem of every scenario that was read, ERR_NOTHING_SELECTED, ERR_USAGE
 */
export async function readScenarios(
  folder: string,
  names: readonly string[],
  tags: readonly string[],
): Promise<Scenario[]> {
  return (await readAndSelect(folder, names, tags)).selected;
}

/**
 * The same, with all scenarios that were read, and how they were loaded. Where each name is one scenario's, the others are not read.
 * @param options.whole whether all are needed
 */
export async function readAndSelect(
  folder: string,
  names: readonly string[],
  tags: readonly string[],
  options: { readonly whole?: boolean } = {},
): Promise<Record<"all" | "selected", Scenario[]> & { readonly loadedBy: LoadOptions }> {
  // Imported here, because --help does not need it.
  const { formatProblem, idsNamed, invalidScenarios, loadScenarios, selectScenarios } =
    await import("../harness/scenario/index.ts");
  const loadedBy = await loadOptions();
  const root = path.resolve(folder);
  const only = options.whole === true ? undefined : await idsNamed(root, names);
  const { scenarios, problems, warnings } = await loadScenarios(root, { ...loadedBy, only });
  for (const warning of warnings) warn(`warning: ${formatProblem(warning)}`);
  refuseEmpty(folder, { scenarios, problems });
  if (problems.length > 0) throw invalidScenarios(problems);
  return { all: scenarios, selected: selectScenarios(scenarios, { names, tags }), loadedBy };
}

/** How scenarios are loaded in the working directory, by its config. */
export async function loadOptions(): Promise<LoadOptions> {
  const found = await readConfig();
  return found === undefined ? {} : { base: found.folder, namespaces: found.config.namespaces };
}

/**
 * Refuses a folder without scenarios; the error names the expected files and suggests another folder.
 * @throws MeshproofError ERR_USAGE
 */
export function refuseEmpty(folder: string, { scenarios, problems }: Pick<Loaded, "scenarios" | "problems">): void {
  if (scenarios.length > 0) return;
  const root = path.resolve(folder);
  const meant = findMeant(root);
  if (problems.length > 0 && meant === undefined) return; // the problems are more precise
  const found = existsSync(root) ? "it has no <group>/<name>/scenario.yaml" : "it does not exist";
  throw new MeshproofError("ERR_USAGE", `there are no scenarios in ${root}: ${found}`, {
    hint:
      meant === undefined
        ? "--scenarios names the folder that contains <group>/<name>/scenario.yaml"
        : `did you mean --scenarios ${path.relative("", meant) || "."}?`,
  });
}

/** The folder of the scenarios, if the user named the project, a group or a single scenario. */
function findMeant(root: string): string | undefined {
  const foldersOf = (folder: string): string[] =>
    existsSync(folder) && statSync(folder).isDirectory()
      ? readdirSync(folder).map((name) => path.join(folder, name))
      : [];
  const holdsScenarios = (folder: string): boolean =>
    foldersOf(folder).some((group) => foldersOf(group).some((each) => existsSync(path.join(each, "scenario.yaml"))));
  return [path.join(root, "scenarios"), path.join(root, ".."), path.join(root, "../..")].find(holdsScenarios);
}
