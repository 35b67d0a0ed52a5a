/** The flags that say where images come from. Apart from cluster.ts, which loads what clusters are made of. */

import type { ComponentSource } from "../clusters/components/ways.ts";
import type { Flags } from "./command-line.ts";

/** Where images come from: those of a kind cluster, and those of an Istio that is not built from source. */
export interface PlaceFlags {
  readonly imageMirror?: string;
  readonly imageDigest?: Readonly<Record<string, string>>;
}

export interface ImageFlags extends PlaceFlags {
  /** Only for a kind cluster: the source of its images. */
  readonly images?: string;
  /** Only for a kind cluster: the tag of its node image. */
  readonly kubernetes?: string;
  /** Only for an embedded cluster. */
  readonly components?: ComponentSource;
}

/** Converts the options to flags of the command line. */
export function flagsOf({ images, kubernetes, components, imageMirror, imageDigest = {} }: ImageFlags): Flags {
  return {
    "--components": components,
    "--images": images,
    "--kubernetes": kubernetes,
    "--image-mirror": imageMirror,
    "--image-digest": Object.entries(imageDigest).map(([name, digest]) => `${name}@${digest}`),
  };
}
