/** Selects scenarios by name and tag. */

import { matchesGlob } from "node:path";
import { MeshproofError } from "../model/errors.ts";
import { near } from "./problem.ts";
import type { Scenario } from "../model/scenario.ts";

export interface Selection {
  /** Ids, groups, scenario names or globs over ids; none means all. */
  readonly names: readonly string[];
  /** A scenario needs one of them; empty means all. */
  readonly tags: readonly string[];
}

/**
 * The scenarios that match, in the given order.
 * @throws MeshproofError ERR_NOTHING_SELECTED if a name or the whole selection matches nothing; it suggests close names
 */
export function selectScenarios(scenarios: readonly Scenario[], { names, tags }: Selection): Scenario[] {
  const patterns = names.map(idOf);
  const lost = patterns.filter((pattern) => !scenarios.some(({ id }) => matchesName(id, pattern)));
  if (lost.length > 0) {
    const known = scenarios.flatMap(({ id }) => [id, nameOf(id)]);
    const guesses = lost.flatMap((pattern) => near(pattern, known).slice(0, 3));
    throw nothingSelected(
      `no scenario matches ${lost.map(quote).join(", ")}`,
      guesses.length > 0 ? `did you mean ${guesses.map(quote).join(", ")}?` : undefined,
    );
  }
  const named = scenarios.filter(
    ({ id }) => patterns.length === 0 || patterns.some((pattern) => matchesName(id, pattern)),
  );
  const selected = named.filter((scenario) => tags.length === 0 || tags.some((tag) => scenario.tags.includes(tag)));
  if (selected.length > 0) return selected;
  const known = [...new Set(named.flatMap((scenario) => scenario.tags))].sort();
  if (tags.length === 0) throw nothingSelected("there is no scenario", undefined);
  throw nothingSelected(
    `no scenario ${names.length > 0 ? "of those named " : ""}has the tag ${tags.map(quote).join(" or ")}`,
    known.length > 0 ? `tags are ${known.join(", ")}` : undefined,
  );
}

function nothingSelected(message: string, hint: string | undefined): MeshproofError {
  return new MeshproofError("ERR_NOTHING_SELECTED", message, { hint: hint ?? "meshproof list shows all scenarios" });
}

/** Turns a path from shell completion (`./scenarios/jwt/x/`, `…/scenario.yaml`) into the scenario's id. */
export function idOf(name: string): string {
  return name
    .replace(/^(\.\/)?(.*\/)?scenarios\//, "")
    .replace(/\/scenario\.yaml$/, "")
    .replace(/\/+$/, "");
}

function matchesName(id: string, pattern: string): boolean {
  if (pattern.includes("/") || /[*?[{]/.test(pattern))
    return matchesGlob(id, pattern) || matchesGlob(nameOf(id), pattern);
  return id.split("/").includes(pattern);
}

function nameOf(id: string): string {
  return id.slice(id.lastIndexOf("/") + 1);
}

function quote(text: string): string {
  return `"${text}"`;
}
