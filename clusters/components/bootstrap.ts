/** Istio's bootstrap template for an Envoy without Istio's extensions. */

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { InstalledComponent } from "./components.ts";

/** The name of the template in a component of Istio. */
export const BOOTSTRAP = "envoy_bootstrap.json";

/**
 * pilot-agent asks for this extension at every waypoint (istio/istio pkg/bootstrap/config.go), and upstream Envoy, which does not have
 * it, ends then. For no other proxy is the block written.
 */
const METADATA_DISCOVERY = /\{\{-? if \.metadata_discovery \}\}[\s\S]*?\{\{-? end \}\}\s*/;

/** The template without Istio's own extension. @throws ERR_COMPONENT where it is there, and not found */
export function withoutOwnExtension(template: string): string {
  const without = template.replace(METADATA_DISCOVERY, "");
  if (without.includes("istio.workload"))
    throw new MeshproofError(
      "ERR_COMPONENT",
      "Istio's bootstrap template names istio.workload.BootstrapExtension where meshproof does not look for it, and upstream Envoy would end",
    );
  return without;
}

/**
 * Writes the templates for upstream Envoy into a folder.
 * @returns their paths, by the path of Istio's own
 */
export async function writeBootstraps(
  components: readonly Pick<InstalledComponent, "name" | "version" | "dir">[],
  folder: string,
): Promise<Readonly<Record<string, string>>> {
  const written = components
    .filter(({ name }) => name === "istio")
    .map(async ({ version, dir }) => {
      const template = join(dir, BOOTSTRAP);
      const file = join(folder, `bootstrap-${version}.json`);
      // pilot-agent reads it as the user of each proxy.
      await writeFile(file, withoutOwnExtension(await readFile(template, "utf8")), { mode: 0o644 });
      return [template, file] as const;
    });
  return Object.fromEntries(await Promise.all(written));
}
