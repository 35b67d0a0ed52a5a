/** Names of images, as Docker and the OCI write them. */

import { MeshproofError } from "../../../harness/model/errors.ts";

/** Where images come from, and which of them are pinned. */
export interface ImagePlaces {
  /** Takes the registry's place: `mirror.example/hub` turns docker.io/istio/pilot into mirror.example/hub/istio/pilot. */
  readonly mirror?: string | undefined;
  /** Digest by image name, for example of `docker.io/istio/pilot:1.31.0`. */
  readonly digests?: Readonly<Record<string, string>> | undefined;
}

/** Where an image is pulled from. */
export interface ImagePlace {
  /** Another registry where a mirror is set, with the digest where one is pinned. */
  readonly reference: string;
  /** `sha256:…` where pinned. */
  readonly digest?: string;
}

/** A name with the parts that Docker implies: `nginx` is `docker.io/library/nginx:latest`. */
export function fullName(image: string): string {
  const slash = image.indexOf("/");
  const first = image.slice(0, Math.max(slash, 0));
  const hasRegistry = /[.:]/.test(first) || first === "localhost";
  const path = hasRegistry ? image : `docker.io/${slash < 0 ? "library/" : ""}${image}`;
  return /[:@]/.test(path.slice(path.lastIndexOf("/"))) ? path : `${path}:latest`;
}

/** The name under another registry, with the path that it has in its own. */
export function mirrored(image: string, mirror: string | undefined): string {
  if (mirror === undefined) return image;
  if (!/^[\w.-]+(:\d+)?(\/[\w./-]+)?$/.test(mirror) || mirror.endsWith("/"))
    throw new MeshproofError("ERR_USAGE", `"${mirror}" is not a prefix of image names`, {
      hint: "such as --image-mirror mirror.example/hub",
    });
  return `${mirror}/${image.slice(image.indexOf("/") + 1)}`;
}

/** Digests by the images' full names, however they were written. */
export function digestsByName({ digests = {} }: ImagePlaces): Map<string, string> {
  return new Map(Object.entries(digests).map(([name, digest]) => [fullName(name), digest]));
}

/**
 * Where an image is pulled from.
 * @param name a full name
 * @param usual the digest where none is given
 */
export function placeOf(name: string, places: ImagePlaces, usual?: string): ImagePlace {
  const digest = digestsByName(places).get(name) ?? usual;
  const reference = mirrored(name, places.mirror);
  return digest === undefined ? { reference } : { reference: `${reference}@${digest}`, digest };
}
