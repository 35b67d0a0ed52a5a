import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { meshImages, publishedMesh, type KindMesh } from "./meshes.ts";
import { fullName, placeOf, type ImagePlace, type ImagePlaces } from "../components/registry/names.ts";

/**
 * The node image: the tag of its Kubernetes version and, if kind's release notes have it, its digest (kind v0.33.0). Other
 * tags are not pinned.
 */
export const KUBERNETES = "v1.36.4";
const NODE_DIGESTS: Readonly<Record<string, string>> = {
  "v1.37.0": "sha256:a1ed56cfb0e7b93589bdf97c8cd566405a265939e3620fc4f5de89adff580ae5",
  "v1.36.4": "sha256:099e049362a1526b2db71494e1947aae99bd16290d7c895f2b7ea312e3cbfaed",
};

/** The folder of the workloads' manifests: the node must have their images. */
const WORKLOADS = join(import.meta.dirname, "../../scenarios/workloads");

/** One image of a kind cluster. */
export interface KindImage extends ImagePlace {
  readonly role: "node" | "mesh" | "workload";
  /** The full name, as in manifests: registry, repository, tag. */
  readonly name: string;
}

export interface ImageChoice extends ImagePlaces {
  /** Kubernetes version, such as `v1.36.4`; a digest may follow: `v1.36.4@sha256:…`. */
  readonly kubernetes?: string | undefined;
}

/** Every published image of a kind cluster except those inside the node image. */
export async function kindImages(
  choice: ImageChoice = {},
  meshes: readonly KindMesh[] = [publishedMesh({})],
): Promise<KindImage[]> {
  const [kubernetes = KUBERNETES, given] = (choice.kubernetes ?? KUBERNETES).split("@");
  const tag = kubernetes.startsWith("v") ? kubernetes : `v${kubernetes}`;
  const image = (role: KindImage["role"], name: string, digest?: string): KindImage => ({
    role,
    name,
    ...placeOf(name, choice, digest),
  });
  return [
    image("node", `docker.io/kindest/node:${tag}`, given ?? NODE_DIGESTS[tag]),
    ...[...new Set(meshes.flatMap(meshImages))].map((name) => image("mesh", name)),
    ...(await workloadImages()).map((name) => image("workload", name)),
  ];
}

/** The images of the documented workloads, each once, in order. */
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
