import { Option } from "commander";
import { kindImages, type KindImage } from "../../clusters/kind/images.ts";
import type { ImageFlags } from "../image-flags.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("images", [
  "images",
  "images --image-mirror mirror.example/hub",
  "images --resolve",
  "images --build",
])
  .addOption(new Option("--cluster <kind>", "kind of cluster").choices(["kind"]).default("kind"))
  .addOption(
    new Option("--build", "build the node image and all images in it from Debian packages and components").conflicts(
      "json",
    ),
  )
  .option("--resolve", "ask the registry which digests the tags have now")
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.kubernetes())
  .addOption(option.json())
  .action(async (options) => finish(images(options)));

interface ImagesOptions extends ImageFlags {
  readonly build?: boolean;
  /** Resolves the digests of images that are not pinned. */
  readonly resolve?: boolean;
  readonly json?: boolean;
}

/** Lists the images of a kind cluster, or builds them here. */
export async function images(options: ImagesOptions): Promise<number> {
  if (options.build === true)
    return work(async ({ progress, signal, clear }) => {
      const { requireDocker } = await import("../../clusters/kind/docker.ts");
      const { ensureOfflineImages } = await import("../../tools/kind-offline/index.ts");
      await requireDocker(signal);
      const { node } = await ensureOfflineImages({ progress, signal });
      clear();
      print(`Docker has ${node}, with all other images inside`);
      return 0;
    });
  const { kubernetes, imageMirror, imageDigest } = options;
  const listed = await kindImages({ kubernetes, mirror: imageMirror, digests: imageDigest });
  const found = options.resolve === true ? await resolveAll(listed) : listed;
  if (options.json === true) printOutput("images", found);
  else {
    print(
      table([
        ["ROLE", "NAME", "PULLED AS", "DIGEST"],
        ...found.map(({ role, name, reference, digest }) => [
          role,
          name,
          reference.replace(/@.*/, ""),
          digest ?? "not pinned",
        ]),
      ]),
    );
    const names = options.resolve === true ? found.filter(({ digest }) => digest !== undefined) : [];
    for (const { name, digest } of names) print(`  --image-digest ${name}@${digest}`);
  }
  return 0;
}

/** Adds the current digest of each unpinned image in its registry. */
async function resolveAll(listed: readonly KindImage[]): Promise<KindImage[]> {
  const { readDigest } = await import("../../clusters/components/registry/client.ts");
  return Promise.all(
    listed.map(async (image) => {
      if (image.digest !== undefined) return image;
      const digest = await readDigest(image.reference);
      return { ...image, reference: `${image.reference}@${digest}`, digest };
    }),
  );
}
