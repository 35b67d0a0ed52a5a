/** Takes single files out of an image's layers (OCI Image Specification, "Image Layer Filesystem Changeset"). */

import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join, posix } from "node:path";
import { PassThrough, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { extract } from "tar-stream";
import { MeshproofError } from "../../harness/errors.ts";
import type { Descriptor, RegistryImage } from "./client.ts";

/**
 * Writes files of an image. Layers are read from the top, and no further than needed; nothing but what is wanted is
 * written, and only to where the caller says, so a hostile name or link in a layer leads nowhere.
 * @param wanted path in the image, such as `usr/local/bin/envoy`, to absolute path here
 * @param work an empty folder for one layer at a time
 * @throws MeshproofError ERR_COMPONENT where a file is missing, removed, or no plain file; see openImage for the rest
 */
export async function takeFiles(
  image: RegistryImage,
  wanted: Readonly<Record<string, string>>,
  work: string,
): Promise<void> {
  const left = new Map(Object.entries(wanted));
  for (const layer of image.layers.toReversed()) {
    if (left.size === 0) return;
    const file = join(work, "layer");
    await image.download(layer, file);
    const taken = new Set<string>();
    const hidden = new Map<string, string>();
    const unpacking = extract();
    const feeding = pipeline(createReadStream(file), decompressor(layer, image), unpacking);
    feeding.catch(() => undefined); // the loop below ends with the same error
    try {
      for await (const entry of unpacking) {
        const { name, type } = entry.header;
        const target = plainPath(name);
        const destination = left.get(target);
        if (type === "file" && destination !== undefined) {
          await pipeline(entry, createWriteStream(destination, { mode: 0o755 }));
          taken.add(target);
          hidden.delete(target);
          continue;
        }
        for (const path of left.keys()) {
          const why = hides(target, type, path);
          if (why !== undefined) hidden.set(path, why);
        }
        entry.resume();
      }
      await feeding;
    } catch (cause) {
      throw failure(image, `its layer ${layer.digest} cannot be unpacked: ${(cause as Error).message}`, cause);
    }
    await rm(file);
    for (const path of taken) left.delete(path);
    // A whiteout holds for the layers below, not for what its own layer has (same section, "Whiteouts").
    const [gone] = [...hidden].filter(([path]) => left.has(path));
    if (gone) throw failure(image, `${gone[0]} ${gone[1]}`);
  }
  if (left.size > 0) throw failure(image, `it has no ${[...left.keys()].join(", ")}`);
}

function decompressor({ mediaType, digest }: Descriptor, image: RegistryImage): Duplex {
  if (/tar[.+]gzip$/.test(mediaType)) return createGunzip();
  if (/tar[.+]zstd$/.test(mediaType)) return createZstdDecompress();
  if (/tar$/.test(mediaType)) return new PassThrough();
  throw failure(image, `its layer ${digest} is ${mediaType}, which is no known kind of tar`);
}

/**
 * As wanted paths are written. A name is relative to the image's root however it begins, as for container engines (Istio's
 * own builder writes `/usr/local/bin/envoy`); one that leads out of it stays so, and is never wanted.
 */
function plainPath(name: string): string {
  return posix.normalize(name).replace(/^\/+/, "").replace(/\/$/, "");
}

/** Why nothing below may be looked at for a path, given an entry of another path or kind. */
export function hides(entry: string, type: string, path: string): string | undefined {
  if (entry === path) return `is a ${type}, not a file`;
  const slash = entry.lastIndexOf("/") + 1;
  const [folder, base] = [entry.slice(0, slash), entry.slice(slash)];
  const within = (parent: string): boolean => path === parent || path.startsWith(`${parent}/`);
  if (base === ".wh..wh..opq") return path.startsWith(folder) ? "is removed by a later layer" : undefined;
  if (base.startsWith(".wh.")) return within(folder + base.slice(4)) ? "is removed by a later layer" : undefined;
  return type !== "directory" && within(entry) ? `lies below ${entry}, which is a ${type}` : undefined;
}

function failure(image: RegistryImage, why: string, cause?: unknown): MeshproofError {
  return new MeshproofError("ERR_COMPONENT", `the image ${image.reference} cannot be unpacked: ${why}`, { cause });
}
