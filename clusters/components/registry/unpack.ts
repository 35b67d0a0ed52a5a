/** Takes single files out of an image's layers (OCI Image Specification, "Image Layer Filesystem Changeset"). */

import { createReadStream, createWriteStream } from "node:fs";
import { rm } from "node:fs/promises";
import { join, posix } from "node:path";
import { PassThrough, Transform, type Duplex } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { extract } from "tar-stream";
import { MeshproofError } from "../../../harness/model/errors.ts";
import type { Descriptor, RegistryImage } from "./client.ts";

/** Of one file that is wanted: four times Istio's Envoy. */
const MOST_FILE_BYTES = 768 * 1024 * 1024;

/** Of one layer, unpacked. */
const MOST_LAYER_BYTES = 4 * 1024 * 1024 * 1024;

export const LIMITS = { file: MOST_FILE_BYTES, layer: MOST_LAYER_BYTES };

export interface TakeOptions {
  readonly received?: (bytes: number) => void;
  /** For tests. */
  readonly limits?: { readonly file: number; readonly layer: number };
}

/**
 * Writes files of an image. Layers are read from the top, and no further than needed; nothing but what is wanted is
 * written, and only to where the caller says, so a hostile name or link in a layer leads nowhere.
 * @param wanted path in the image, such as `usr/local/bin/envoy`, to absolute path here; of several paths to the same place one
 *   must be there
 * @param work an empty folder for one layer at a time
 * @param options.received called with the number of received bytes, each time that some arrive
 * @throws MeshproofError ERR_COMPONENT where a file is missing, removed, or no plain file; see openImage for the rest
 */
export async function takeFiles(
  image: RegistryImage,
  wanted: Readonly<Record<string, string>>,
  work: string,
  { received, limits = LIMITS }: TakeOptions = {},
): Promise<void> {
  const left = new Map(Object.entries(wanted));
  for (const layer of image.layers.toReversed()) {
    if (left.size === 0) return;
    if (!(layer.size <= limits.layer))
      throw failure(
        image,
        `its layer ${layer.digest} has ${layer.size} bytes, and more than ${limits.layer} are not read`,
      );
    const file = join(work, "layer");
    await image.download(layer, file, received);
    const taken = new Set<string>();
    const hidden = new Map<string, string>();
    const unpacking = extract();
    const feeding = pipeline(createReadStream(file), decompressor(layer, image), bounded(limits.layer), unpacking);
    feeding.catch(() => undefined); // the loop below ends with the same error
    try {
      for await (const entry of unpacking) {
        const { name, type } = entry.header;
        const target = plainPath(name);
        const destination = left.get(target);
        if (type === "file" && destination !== undefined) {
          if (!((entry.header.size ?? 0) <= limits.file))
            throw new Error(`${target} has ${entry.header.size} bytes, and more than ${limits.file} are not written`);
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
    const done = new Set([...taken].map((path) => left.get(path)));
    for (const [path, destination] of left) if (done.has(destination)) left.delete(path);
    // A whiteout holds for the layers below, not for what its own layer has (same section, "Whiteouts").
    for (const [path, why] of hidden) {
      const destination = left.get(path);
      if (destination === undefined) continue;
      left.delete(path);
      if ([...left.values()].includes(destination)) continue;
      throw failure(image, `${path} ${why}`);
    }
  }
  if (left.size > 0) throw failure(image, `it has no ${[...left.keys()].join(", ")}`);
}

/** Passes bytes on, up to a number: a small layer may unpack to a large one. */
export function bounded(most: number): Transform {
  let bytes = 0;
  return new Transform({
    transform(chunk: Buffer, _, done) {
      bytes += chunk.length;
      if (bytes > most) done(new Error(`it unpacks to more than ${most} bytes`));
      else done(null, chunk);
    },
  });
}

export function decompressor({ mediaType, digest }: Descriptor, image: RegistryImage): Duplex {
  if (/tar[.+]gzip$/.test(mediaType)) return createGunzip();
  if (/tar[.+]zstd$/.test(mediaType)) return createZstdDecompress();
  if (/tar$/.test(mediaType)) return new PassThrough();
  throw failure(image, `its layer ${digest} is ${mediaType}, which is not a known kind of tar`);
}

/**
 * As wanted paths are written. A name is relative to the image's root however it begins, as for container engines (Istio's
 * own builder writes `/usr/local/bin/envoy`); one that leads out of it stays so, and is never wanted.
 */
export function plainPath(name: string): string {
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
  return type !== "directory" && within(entry) ? `is below ${entry}, which is a ${type}` : undefined;
}

export function failure(image: RegistryImage, why: string, cause?: unknown): MeshproofError {
  return new MeshproofError("ERR_COMPONENT", `the image ${image.reference} cannot be unpacked: ${why}`, { cause });
}
