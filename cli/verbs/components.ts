import { Option } from "commander";
import {
  chooseMesh,
  cleanComponents,
  ensureComponents,
  ensureImages,
  ensureIstioctl,
  hasOwnFilters,
  imageDigestsOf,
  listComponents,
  type WantedMesh,
} from "../../clusters/components/components.ts";
import type { ComponentSource } from "../../clusters/components/ways.ts";
import { formatBytes } from "../../reports/text.ts";
import { placesOf } from "../cluster.ts";
import type { PlaceFlags } from "../image-flags.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";
import { print, printOutput, warn } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("components", [
  "components",
  "components --build --istio 1.30 --envoy 1.36",
  "components --refresh --istio 1.29.2",
  "components --verify",
  "components --json",
])
  .option("--build", "get what is missing, out of images or by a build; a run does so by itself")
  .option("--refresh", "like --build, and ask the registries again which images the tags name")
  .addOption(
    new Option(
      "--platform <platform>",
      "unpack and verify the published images of this platform; another machine's are not run",
    ).choices(["linux/amd64", "linux/arm64"]),
  )
  .addOption(new Option("--istioctl", "get istioctl of this Istio, and print only where it is").conflicts("json"))
  .option("--keep-go-caches", "after a build, leave the caches of Go (several GB) for the next one")
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
  /** Builds, and also resolves tags whose digests are cached. */
  readonly refresh?: boolean;
  readonly platform?: "linux/amd64" | "linux/arm64";
  readonly istioctl?: boolean;
  readonly keepGoCaches?: boolean;
  readonly verify?: boolean;
  readonly clean?: boolean;
  readonly json?: boolean;
}

function choicesOf(options: ComponentsOptions) {
  const { refresh, components: source, keepGoCaches } = options;
  return { images: placesOf(options), refresh, source, keepGoCaches };
}

export async function components(options: ComponentsOptions): Promise<number> {
  const mesh = chooseMesh(options);
  if (options.clean === true) {
    const removed = await cleanComponents();
    warn(removed.length === 0 ? "nothing to remove" : `removed ${removed.join(", ")}`);
  }
  if (options.platform === undefined && (options.build === true || options.refresh === true))
    await work(async ({ progress, signal }) => {
      await ensureComponents({ ...choicesOf(options), progress, signal, meshes: [mesh] });
      return 0;
    });
  if (options.platform !== undefined) {
    const architecture = options.platform.replace("linux/", "");
    return work(async ({ progress, signal, clear }) => {
      const unpacked = await ensureImages(architecture, { ...choicesOf(options), progress, signal, meshes: [mesh] });
      clear();
      const rows = unpacked.map(({ name, version, bytes, dir }) => [name, version, formatBytes(bytes), dir]);
      print(table([["NAME", "VERSION", "SIZE", "FOLDER"], ...rows]));
      return 0;
    });
  }
  if (options.istioctl === true)
    return work(async ({ progress, signal, clear }) => {
      const path = await ensureIstioctl(mesh.istio, { ...choicesOf(options), progress, signal });
      clear();
      print(path);
      return 0;
    });
  const found = await listComponents({ verify: options.verify ?? false });
  const damaged = found.filter(({ state }) => state === "corrupt");
  if (options.json === true) printOutput("components", found);
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
