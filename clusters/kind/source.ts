import { readdir, stat } from "node:fs/promises";
import { extname, join, resolve } from "node:path";
import { execa } from "execa";
import { MeshproofError } from "../../harness/model/errors.ts";
import type { Progress } from "../../harness/progress.ts";
import { docker, hasImage, lastLines } from "./docker.ts";
import { kindImages, type ImageChoice } from "./images.ts";
import { ownMesh, publishedMesh, whyNotPublished, type KindMesh } from "./meshes.ts";
import { chooseMesh, type WantedMesh } from "../components/components.ts";
import { isBuiltHere } from "../components/list.ts";

/** Options for the source of images, besides {@link ImageChoice}. */
export interface ImageOptions extends ImageChoice {
  /**
   * `published`: Docker has or pulls them. `offline`: built here. Anything else is a folder of archives (`docker save`, or
   * OCI). Not given: published, and offline where no registry can be reached.
   */
  readonly images?: string | undefined;
}

/** The images for starting a cluster. */
export interface ImageSet {
  /** The node image's name in Docker. */
  readonly node: string;
  /** Images in Docker, by their names in the node. */
  readonly loads: readonly { readonly name: string; readonly inDocker: string }[];
  /** Archive files that are imported into the node. */
  readonly archives: readonly string[];
  /** The requested meshes, in order, with the versions of these images. */
  readonly meshes: readonly KindMesh[];
}

interface Options {
  /** The versions of Istio and Envoy: the one to start with first. */
  readonly meshes: readonly WantedMesh[];
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Provides Docker with all images that a cluster needs.
 * @throws ERR_CLUSTER_START if an image is not available, with a hint for work without a registry; ERR_USAGE, ERR_INTERRUPTED.
 */
export async function provideImages(choice: ImageOptions, options: Options): Promise<ImageSet> {
  const { images = "auto" } = choice;
  if (images === "offline") return offline(choice, options);
  if (images !== "auto" && images !== "published") return fromFolder(resolve(images), choice, options);
  const unpublished = options.meshes.map(whyNotPublished).find((why) => why !== undefined);
  if (images === "auto" && unpublished !== undefined) {
    options.progress(`${unpublished}: the node and its images are built here (--images offline)`);
    return offline(choice, options);
  }
  try {
    return await published(choice, options);
  } catch (error) {
    if (images === "published" || !(error instanceof MeshproofError) || !unreachable(error.message)) throw error;
    const pinned = choice.kubernetes ?? choice.mirror ?? Object.keys(choice.digests ?? {})[0];
    if (pinned !== undefined) throw error; // a pinned image must not be replaced by another one
    if (!options.meshes.every(({ istio }) => isBuiltHere(chooseMesh({ istio }).istio))) throw error; // it would need the registry as well
    options.progress("no registry can be reached: the node and its images are built here (--images offline)");
    return offline(choice, options);
  }
}

/** Whether docker's error means that the registry cannot be reached, and not that the image does not exist. */
export function unreachable(message: string): boolean {
  return /no such host|dial tcp|i\/o timeout|connection refused|network is unreachable|TLS handshake|Client\.Timeout|name resolution/i.test(
    message,
  );
}

async function offline({ mirror, digests }: ImageChoice, { meshes, ...options }: Options): Promise<ImageSet> {
  const { ensureOfflineImages } = await import("../../tools/kind-offline/index.ts");
  const choices = meshes.map((wanted) => chooseMesh(wanted));
  const { node, installed } = await ensureOfflineImages({ ...options, meshes: choices, images: { mirror, digests } });
  return { node, loads: [], archives: [], meshes: installed.meshes.map(ownMesh) };
}

async function published(choice: ImageChoice, { meshes: wanted, ...options }: Options): Promise<ImageSet> {
  const meshes = wanted.map(publishedMesh);
  const [node, ...others] = await kindImages(choice, meshes);
  if (!node) throw new Error("no node image");
  for (const { reference } of [node, ...others]) await pull(reference, options);
  return {
    node: node.reference,
    loads: others.map(({ name, reference }) => ({ name, inDocker: reference })),
    archives: [],
    meshes,
  };
}

async function pull(reference: string, { progress, signal }: Omit<Options, "meshes">): Promise<void> {
  if (await hasImage(reference, signal)) return;
  progress(`pulling ${reference.replace(/@.*/, "")} …`);
  try {
    await docker(["pull", "--quiet", reference], { signal });
  } catch (cause) {
    if (!(cause instanceof MeshproofError) || cause.code !== "ERR_CLUSTER_START") throw cause;
    throw new MeshproofError(
      "ERR_CLUSTER_START",
      `the image ${reference} cannot be pulled: ${lastLines(cause.message, 1)}`,
      {
        hint: "use another registry (--image-mirror), archives (--images <folder>), or build the images (--images offline)",
        cause,
      },
    );
  }
}

/** The node image among the archives goes to Docker, the rest into the node. */
async function fromFolder(
  folder: string,
  choice: ImageChoice,
  { meshes, progress, signal }: Options,
): Promise<ImageSet> {
  const names = await readdir(folder).catch(() => undefined);
  const files = (names ?? []).filter((name) => [".tar", ".tgz", ".gz"].includes(extname(name))).sort();
  if (files.length === 0)
    throw new MeshproofError(
      "ERR_USAGE",
      `--images takes offline, published, or a folder with archives of images, not ${folder}`,
      {
        hint: "docker save IMAGE --output FOLDER/NAME.tar",
      },
    );
  const [wanted] = await kindImages(choice);
  const archives = [];
  let node: string | undefined;
  for (const file of files.map((name) => join(folder, name))) {
    const inside = await imagesInArchive(file, signal);
    const found = inside.find((name) => /(^|\/)(kindest\/node|kind-node):/.test(name));
    if (found === undefined) {
      archives.push(file);
      continue;
    }
    progress(`loading ${found} …`);
    await docker(["load", "--quiet", "--input", file], { signal });
    node = found;
  }
  node ??= wanted && (await hasImage(wanted.reference, signal)) ? wanted.reference : undefined;
  if (node === undefined)
    throw new MeshproofError("ERR_USAGE", `none of the archives in ${folder} has a node image, and Docker has none`, {
      hint: `docker save ${wanted?.name} --output ${join(folder, "node.tar")}`,
    });
  // A node image that meshproof made has the mesh's images inside, under the names that it gave them.
  const own = node.includes("meshproof/kind-node:");
  return {
    node,
    loads: [],
    archives,
    meshes: meshes.map((wanted) => (own ? builtMesh(wanted) : publishedMesh(wanted))),
  };
}

function builtMesh(wanted: WantedMesh): KindMesh {
  const choice = chooseMesh(wanted);
  const { istio, envoy } = choice;
  if (envoy !== undefined) return ownMesh({ choice, versions: { istio, envoy }, upstreamEnvoy: true });
  throw new MeshproofError("ERR_USAGE", `a node image that was made here is of no released Istio ${istio}`);
}

/** The names of the images in an archive of `docker save` (manifest.json) or an OCI layout (index.json). */
async function imagesInArchive(file: string, signal: AbortSignal | undefined): Promise<string[]> {
  const cancel = signal ? { cancelSignal: signal } : {};
  const read = async (member: string): Promise<unknown> => {
    const { failed, stdout } = await execa("tar", ["--extract", "--to-stdout", "--file", file, member], {
      reject: false,
      ...cancel,
    });
    return failed ? undefined : JSON.parse(stdout);
  };
  if (!(await stat(file)).isFile()) return [];
  return namesOf((await read("manifest.json")) ?? (await read("index.json")) ?? (await read("./index.json")));
}

/** Names in the description of an archive, of either kind. */
export function namesOf(description: unknown): string[] {
  if (Array.isArray(description))
    return (description as { RepoTags?: string[] | null }[]).flatMap(({ RepoTags }) => RepoTags ?? []);
  const { manifests = [] } = (description ?? {}) as { manifests?: { annotations?: Record<string, string> }[] };
  return manifests.flatMap(({ annotations }) => annotations?.["io.containerd.image.name"] ?? []);
}
