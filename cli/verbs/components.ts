import {
  chooseMesh,
  cleanComponents,
  ensureComponents,
  hasOwnFilters,
  imageDigestsOf,
  listComponents,
  type WantedMesh,
} from "../../clusters/components/components.ts";
import type { ComponentSource } from "../../clusters/components/ways.ts";
import { formatBytes } from "../../reports/text.ts";
import { placesOf, type PlaceFlags } from "../cluster.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";
import { print, printJson, warn } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("components", [
  "components",
  "components --build --istio 1.30 --envoy 1.36",
  "components --refresh --istio 1.29.2",
  "components --verify",
  "components --json",
])
  .option("--build", "get what is missing, out of images or by a build; a run does so by itself")
  .option("--refresh", "like --build, and ask the registries again which images the tags lead to")
  .option("--verify", "read everything again and compare it with its checksums")
  .option("--clean", "remove what no current component needs from the cache")
  .addOption(option.istio())
  .addOption(option.envoy())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.json())
  .action(async (options) => finish(components(options)));

interface ComponentsOptions extends WantedMesh, PlaceFlags {
  readonly components?: ComponentSource;
  readonly build?: boolean;
  /** Builds, and asks the registry even for a tag whose digest is remembered. */
  readonly refresh?: boolean;
  readonly verify?: boolean;
  readonly clean?: boolean;
  readonly json?: boolean;
}

export async function components(options: ComponentsOptions): Promise<number> {
  const mesh = chooseMesh(options);
  if (options.clean === true) {
    const removed = await cleanComponents();
    warn(removed.length === 0 ? "nothing to remove" : `removed ${removed.join(", ")}`);
  }
  if (options.build === true || options.refresh === true)
    await work(async ({ progress, signal }) => {
      const { refresh, components: source } = options;
      await ensureComponents({ progress, signal, meshes: [mesh], images: placesOf(options), refresh, source });
      return 0;
    });
  const found = await listComponents({ verify: options.verify ?? false });
  const damaged = found.filter(({ state }) => state === "corrupt");
  if (options.json === true) printJson(found);
  else {
    const rows = found.map(({ name, version, state, bytes, digest, source }) => [
      name,
      version,
      state,
      bytes === undefined ? "-" : formatBytes(bytes),
      digest?.slice(0, "sha256:".length + 12) ?? "-",
      source,
    ]);
    print(table([["NAME", "VERSION", "STATE", "SIZE", "DIGEST", "SOURCE"], ...rows]));
    for (const { name, version, details = {} } of found) {
      const images = Object.entries(imageDigestsOf({ details }));
      if (images.length === 0) continue;
      const filters = hasOwnFilters({ details }) ? "and its own filters" : "without filters of its own";
      const envoy = details["envoy"] === undefined ? "" : `, with Envoy ${details["envoy"]} ${filters},`;
      print(`\n${name} ${version}${envoy} is pinned by`);
      for (const [image, digest] of images) print(`  --image-digest ${image}@${digest}`);
    }
    for (const { name, damage } of damaged) warn(`${name} is damaged: ${damage}; the next run builds it again`);
  }
  return damaged.length > 0 ? 3 : 0;
}
