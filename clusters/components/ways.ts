/** Where components come from; apart from sources.ts, so that `--help` loads nothing else. */

import { MeshproofError } from "../../harness/model/errors.ts";

/**
 * `images`: published ones where there are some. `source`: built here where that can be. `auto`: what the cache has, else
 * images, and a build where no registry gives them.
 */
export const COMPONENT_SOURCES = ["auto", "images", "source"] as const;
export type ComponentSource = (typeof COMPONENT_SOURCES)[number];

/** Names the way for a whole shell, such as a CI job's. */
const SOURCE_VARIABLE = "MESHPROOF_COMPONENTS";

/** @throws MeshproofError ERR_USAGE for a value of the environment that is not one */
export function sourceFrom(environment: NodeJS.ProcessEnv = process.env): ComponentSource {
  const value = environment[SOURCE_VARIABLE] || "auto";
  const found = COMPONENT_SOURCES.find((source) => source === value);
  if (found !== undefined) return found;
  throw new MeshproofError("ERR_USAGE", `${SOURCE_VARIABLE} is "${value}", which is not a way to get components`, {
    hint: `use one of ${COMPONENT_SOURCES.join(", ")}, or unset it`,
  });
}
