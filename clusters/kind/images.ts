import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ISTIO_RELEASE } from "../embedded/components/list.ts";
import { MeshproofError } from "../../harness/errors.ts";

/**
 * The node image, by the tag of its Kubernetes version and, where kind's own release notes name it, its digest (kind
 * v0.33.0). Other tags go unpinned.
 */
export const KUBERNETES = "v1.36.4";
const NODE_DIGESTS: Readonly<Record<string, string>> = {
  "v1.37.0": "sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
  "v1.36.4": "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
};

/** The manifests that are applied: their images are what the node must have. */
const WORKLOADS = join(import.meta.dirname, "../../scenarios/workloads");

/** One image of a kind cluster. */
export interface KindImage {
  readonly role: "node" | "mesh" | "workload";
  /** The name in full, as manifests have it: registry, repository, tag. */
  readonly name: string;
  /** What is pulled: another registry where a mirror is set, with the digest where one is pinned. */
  readonly reference: string;
  /** `sha256:…` where pinned. */
  readonly digest?: string;
}

export interface ImageChoice {
  /** Kubernetes version, such as `v1.36.4`; a digest may follow: `v1.36.4@sha256:…`. */
  readonly kubernetes?: string | undefined;
  /** Takes the registry's place: `mirror.example/hub` turns docker.io/istio/pilot into mirror.example/hub/istio/pilot. */
  readonly mirror?: string | undefined;
  /** Digest by image name, for example of `docker.io/istio/pilot:1.31.0`. */
  readonly digests?: Readonly<Record<string, string>> | undefined;
}

/** Every image of a kind cluster besides those that the node image itself brings. */
export async function kindImages(choice: ImageChoice = {}): Promise<KindImage[]> {
  const [kubernetes = KUBERNETES, given] = (choice.kubernetes ?? KUBERNETES).split("@");
  const tag = kubernetes.startsWith("v") ? kubernetes : `v${kubernetes}`;
  const named = new Map(Object.entries(choice.digests ?? {}).map(([name, digest]) => [fullName(name), digest]));
  const image = (role: KindImage["role"], name: string, digest?: string): KindImage => {
    const pinned = named.get(name) ?? digest;
    const reference = `${mirrored(name, choice.mirror)}${pinned ? `@${pinned}` : ""}`;
    return { role, name, reference, ...(pinned ? { digest: pinned } : {}) };
  };
  return [
    image("node", `docker.io/kindest/node:${tag}`, given ?? NODE_DIGESTS[tag]),
    ...meshImages().map((name) => image("mesh", name)),
    ...(await workloadImages()).map((name) => image("workload", name)),
  ];
}

/** What Istio's manifests name (hub and tag of the pinned release). */
export function meshImages(): string[] {
  return ["pilot", "proxyv2"].map((name) => `docker.io/istio/${name}:${ISTIO_RELEASE}`);
}

/** What the documented workloads name, each once, in order. */
export async function workloadImages(folder = WORKLOADS): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile() && entry.name.endsWith(".yaml"));
  const texts = await Promise.all(files.map((entry) => readFile(join(entry.parentPath, entry.name), "utf8")));
  return [...new Set(texts.flatMap(imagesIn))].sort();
}

/** The images that a manifest names. */
export function imagesIn(text: string): string[] {
  return [...text.matchAll(/^\s*(?:- )?image: *["']?([^\s"'#]+)/gm)].map(([, name]) => fullName(name ?? ""));
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
    throw new MeshproofError("ERR_USAGE", `"${mirror}" is no prefix of image names`, {
      hint: "such as --image-mirror mirror.example/hub",
    });
  return `${mirror}/${image.slice(image.indexOf("/") + 1)}`;
}
