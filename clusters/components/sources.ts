/** Where each component comes from: the cache, published images, or a build here. */

import type { Progress } from "../../harness/progress.ts";
import { entryName, inspectEntry } from "./entry.ts";
import { imageRecipe, knownImageRecipe, type ImageOptions } from "./images.ts";
import type { Component } from "./list.ts";
import type { Recipe } from "./recipe.ts";
import { digestsByName } from "./registry/names.ts";
import { registryErrorOf, type RegistryError } from "./registry/transport.ts";
import type { ComponentSource } from "./ways.ts";

export interface SourceOptions extends ImageOptions {
  readonly source: ComponentSource;
  readonly progress: Progress;
}

/** A component, and the recipe that was chosen for it. */
export interface Chosen {
  readonly component: Component;
  readonly recipe: Recipe;
  readonly from: "images" | "source";
  /** What to build if the images cannot be downloaded. */
  readonly otherwise?: Recipe;
}

/**
 * Chooses a way for each component. Only `auto` builds a component instead of using images, and prints one line about it. An image that
 * `--image-digest` names is never replaced by a build.
 * @throws a RegistryError if images are needed and no registry has them
 */
export async function chooseSources(components: readonly Component[], options: SourceOptions): Promise<Chosen[]> {
  const chosen: Chosen[] = [];
  const failed: { readonly component: Component; readonly error: RegistryError }[] = [];
  for (const component of components) {
    const { source, images, prefersSource } = component;
    if (source !== undefined && (images === undefined || options.source === "source")) {
      chosen.push({ component, recipe: source, from: "source" });
      continue;
    }
    if (images === undefined) throw new Error(`${component.name} can be had in no way`);
    const otherwise = options.source === "auto" && !isDemanded(component, options) ? source : undefined;
    const present = otherwise && options.refresh !== true ? await presentOf(component, options) : undefined;
    if (present !== undefined) {
      chosen.push({ component, ...present });
      continue;
    }
    if (source !== undefined && options.source === "auto" && (await prefersSource?.()) === true) {
      chosen.push({ component, recipe: source, from: "source" });
      continue;
    }
    // If one registry cannot be reached, do not wait for the next one too.
    const unreached = failed.find(({ error }) => !error.reached)?.error;
    const found = otherwise && unreached ? unreached : await imageRecipe(images, options).catch(registryErrorOrThrow);
    if ("build" in found) chosen.push({ component, recipe: found, from: "images", ...(otherwise && { otherwise }) });
    else if (otherwise === undefined) throw found;
    else {
      failed.push({ component, error: found });
      chosen.push({ component, recipe: otherwise, from: "source" });
    }
  }
  for (const [{ message }, those] of Map.groupBy(failed, ({ error }) => error))
    options.progress(
      tellFallback(
        those.map(({ component }) => component),
        message,
      ),
    );
  return chosen;
}

/** Why images are not used, what is built instead, and how long that takes. */
export function tellFallback(components: readonly Component[], why: string): string {
  const built = components.map(({ source }) => `${source?.name} (${source?.effort})`).join(", ");
  return `built from source: ${built}, since ${why}`;
}

function registryErrorOrThrow(error: unknown): RegistryError {
  if (registryErrorOf(error) === error) return error as RegistryError;
  throw error;
}

/** Whether `--image-digest` names one of its images. */
function isDemanded({ images, prefersSource }: Component, { places = {} }: SourceOptions): boolean {
  if (prefersSource !== undefined) return false; // the digest is meant for the component whose image this is
  const digests = digestsByName(places);
  return images?.images.some(({ name }) => digests.has(name)) === true;
}

/** Whether the cache has a component, by whichever way. */
export async function isPresent(component: Component, cache: string): Promise<boolean> {
  return (await presentOf(component, { cache, hint: "" })) !== undefined;
}

/** The way by which the cache has it already. */
export async function presentOf(
  { source, images }: Component,
  options: ImageOptions,
): Promise<Pick<Chosen, "recipe" | "from"> | undefined> {
  const known = images && (await knownImageRecipe(images, options));
  for (const [from, recipe] of [
    ["images", known],
    ["source", source],
  ] as const)
    if (recipe && (await inspectEntry(options.cache, await entryName(recipe))).state !== "missing")
      return { from, recipe };
  return undefined;
}
