import { kindImages } from "../../clusters/kind/images.ts";
import type { ImageFlags } from "../cluster.ts";
import { table } from "../table.ts";
import { work } from "../work.ts";

interface ImagesOptions extends ImageFlags {
  readonly build?: boolean;
  readonly json?: boolean;
}

/** Lists what a kind cluster is pulled from, or builds it here. */
export async function images(options: ImagesOptions): Promise<number> {
  if (options.build === true)
    return work(async ({ progress, signal, clear }) => {
      const { requireDocker } = await import("../../clusters/kind/docker.ts");
      const { ensureOfflineImages } = await import("../../clusters/kind/offline/index.ts");
      await requireDocker(signal);
      const { node } = await ensureOfflineImages({ progress, signal });
      clear();
      console.log(`Docker has ${node}, with all other images inside`);
      return 0;
    });
  const { kubernetes, imageMirror, imageDigest } = options;
  const found = await kindImages({ kubernetes, mirror: imageMirror, digests: imageDigest });
  if (options.json === true) console.log(JSON.stringify(found, null, 2));
  else
    console.log(
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
  return 0;
}
