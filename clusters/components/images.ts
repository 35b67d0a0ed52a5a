/** Components out of published images' layers: no container engine, no build. */

import { chmod, mkdir, open } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import { inLanes } from "../../harness/lanes.ts";
import type { InstalledComponent } from "./entry.ts";
import type { Recipe, Workshop } from "./recipe.ts";
import { openImage, readDigest } from "./registry/client.ts";
import { mirrored, placeOf, type ImagePlaces } from "./registry/names.ts";
import { takeTree } from "./registry/tree.ts";
import { takeFiles } from "./registry/unpack.ts";
import { rememberDigests, rememberedDigests } from "./remembered.ts";

/** What is taken out of one image. */
export interface PublishedImage {
  /** A full name with its tag, such as `registry.k8s.io/kube-apiserver:v1.36.3`. */
  readonly name: string;
  /** By path in the component: where it is in the image; several places where images differ. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** The rest of its file system is unpacked too, except these paths and those below them. */
  readonly except?: RegExp;
}

/** A component that is published as images. */
export interface ImageComponent {
  readonly name: string;
  readonly version: string;
  readonly images: readonly PublishedImage[];
  /** For the progress line, such as `a download of about 150 MB`. */
  readonly effort: string;
  /** Other inputs that decide the content. */
  readonly inputs?: () => Promise<readonly string[]> | readonly string[];
  /** Changes what was taken. */
  readonly finish?: (shop: Workshop) => Promise<void>;
  /** Looks at what was taken, and returns what is worth knowing about it. */
  readonly inspect?: (shop: Workshop, images: readonly FoundImage[]) => Promise<Readonly<Record<string, string>>>;
}

export interface ImageOptions {
  /** Where the images come from; the registry that they are published in where it is left out. */
  readonly places?: ImagePlaces | undefined;
  /** Asks the registry even for a tag whose digest is remembered. */
  readonly refresh?: boolean | undefined;
  readonly cache: string;
  readonly signal?: AbortSignal | undefined;
  /** What to do where an image cannot be had, one sentence. */
  readonly hint: string;
  /** Go's name of the architecture; default: this machine's. Programs for another one are unpacked and verified, but not run. */
  readonly architecture?: string | undefined;
}

/** An image with the digest that is meant. */
export interface FoundImage extends PublishedImage {
  /** Where it is pulled from, by its tag. */
  readonly reference: string;
  readonly digest: string;
  /** Whether `--image-digest` names this digest, so that the tag's digest does not count. */
  readonly given: boolean;
}

/** As Go, and so an image, calls it. */
const HOST_ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

const MIB = 1024 * 1024;

/** A line of progress for so many bytes. */
const TOLD_BYTES = 25 * MIB;

/**
 * The recipe of a component out of its images. Its digests are the given ones, else those that are remembered from the last
 * time, else what its tags name now.
 * @throws a RegistryError where the registry is needed and cannot be reached, or has no such image
 */
export async function imageRecipe(component: ImageComponent, options: ImageOptions): Promise<Recipe> {
  const { hint, signal } = options;
  const images = await inLanes(await knownImages(component, options), async (image): Promise<FoundImage> => {
    return { ...image, digest: image.digest ?? (await readDigest(image.reference, { hint, signal })) };
  });
  return recipeOf(component, images, options);
}

/**
 * The recipe of a component whose digests are known without asking a registry: given, or remembered.
 * @returns undefined where a registry would have to be asked
 */
export async function knownImageRecipe(component: ImageComponent, options: ImageOptions): Promise<Recipe | undefined> {
  const images = await knownImages(component, options);
  const found = images.flatMap(({ digest, ...image }): FoundImage[] =>
    digest === undefined ? [] : [{ ...image, digest }],
  );
  return found.length === images.length ? recipeOf(component, found, options) : undefined;
}

/** Where the images are, and their digests as far as they are known. */
async function knownImages(
  { images }: ImageComponent,
  { cache, places = {}, refresh = false }: ImageOptions,
): Promise<(Omit<FoundImage, "digest"> & { readonly digest: string | undefined })[]> {
  const remembered = refresh ? {} : await rememberedDigests(cache);
  return images.map((image) => {
    const reference = mirrored(image.name, places.mirror);
    const given = placeOf(image.name, places).digest;
    return { ...image, reference, digest: given ?? remembered[reference], given: given !== undefined };
  });
}

function recipeOf(component: ImageComponent, images: readonly FoundImage[], options: ImageOptions): Recipe {
  const { cache, hint, architecture = HOST_ARCHITECTURE } = options;
  const foreign = architecture !== HOST_ARCHITECTURE;
  const digests = Object.fromEntries(images.map(({ name, digest }) => [name, digest]));
  const files = component.images.map(({ files }) => files);
  const trees = component.images.flatMap(({ except }) => except?.source ?? []);
  return {
    name: component.name,
    version: component.version,
    source: `images ${component.images.map(({ name }) => name).join(" ")}`,
    effort: component.effort,
    inputs: async () => [
      JSON.stringify(digests),
      JSON.stringify(files),
      ...trees,
      ...(await (component.inputs?.() ?? [])),
      ...(foreign ? [architecture] : []),
    ],
    async build(shop) {
      const meter = createMeter(component, shop);
      await inLanes(images, (image) => unpack(image, shop, { hint, meter, architecture }));
      await component.finish?.(shop);
      if (foreign) await assertMachine(shop, images, architecture);
      const found = foreign ? { platform: `linux/${architecture}` } : await component.inspect?.(shop, images);
      return { ...digests, ...found };
    },
    async installed() {
      const byTag = images.filter(({ given }) => !given);
      await rememberDigests(cache, Object.fromEntries(byTag.map(({ reference, digest }) => [reference, digest])));
    },
  };
}

async function unpack(
  { name, files: wanted, except, reference, digest }: FoundImage,
  shop: Workshop,
  options: { readonly hint: string; readonly meter: (bytes: number) => void; readonly architecture: string },
): Promise<void> {
  const { files, signal } = shop;
  const { hint, meter, architecture } = options;
  const work = join(shop.work, name.replaceAll(/[^\w.-]/g, "_"));
  await mkdir(work);
  const opened = await openImage(`${reference}@${digest}`, architecture, { hint, signal });
  if (except !== undefined) await takeTree(opened, files, work, { received: meter, except });
  const places = Object.entries(wanted).flatMap(([to, from]) => from.map((path) => [path, join(files, to)] as const));
  for (const [, file] of places) await mkdir(dirname(file), { recursive: true });
  await takeFiles(opened, Object.fromEntries(places), work, { received: meter });
  for (const to of Object.keys(wanted)) if (!isProgram(to)) await chmod(join(files, to), 0o644);
}

const isProgram = (path: string): boolean => /^(usr\/)?s?bin\//.test(path);

/** How an ELF file names its machine (System V ABI, "ELF header", e_machine). */
const MACHINES: Readonly<Record<string, number>> = { amd64: 62, arm64: 183 };

/** What cannot be run here is at least a program for its machine. */
async function assertMachine(shop: Workshop, images: readonly FoundImage[], architecture: string): Promise<void> {
  for (const path of images.flatMap(({ files }) => Object.keys(files)).filter(isProgram)) {
    await using file = await open(join(shop.files, path));
    const { buffer, bytesRead } = await file.read(Buffer.alloc(20), 0, 20, 0);
    const isElf = bytesRead === 20 && buffer.readUInt32BE(0) === 0x7f454c46;
    if (isElf && buffer.readUInt16LE(18) === MACHINES[architecture]) continue;
    throw new MeshproofError(
      "ERR_COMPONENT",
      `${basename(path)} of ${placeOfProgram(path, images)} is not a program for ${architecture}`,
    );
  }
}

/** Tells how much has come, and how fast. */
function createMeter({ name, version }: ImageComponent, { progress }: Workshop): (bytes: number) => void {
  const started = performance.now();
  let [all, told] = [0, 0];
  return (bytes) => {
    all += bytes;
    if (all - told < TOLD_BYTES) return;
    told = all;
    const perSecond = all / ((performance.now() - started) / 1000);
    progress(`${name} ${version}: ${Math.round(all / MIB)} MiB, ${(perSecond / MIB).toFixed(1)} MiB/s`);
  };
}

/** What a program prints; an error names its image, since the program's own folder is gone when it is read. */
export async function askProgram(
  path: string,
  args: readonly string[],
  images: readonly FoundImage[],
  shop: Workshop,
): Promise<string> {
  return shop.run([join(shop.files, path), ...args]).catch((cause: unknown) => {
    if (!(cause instanceof MeshproofError) || cause.code === "ERR_INTERRUPTED") throw cause;
    throw new MeshproofError(
      "ERR_COMPONENT",
      `${basename(path)} of ${placeOfProgram(path, images)} does not run here`,
      {
        ...(cause.hint === undefined ? {} : { hint: cause.hint }),
        cause,
      },
    );
  });
}

/** @throws MeshproofError ERR_COMPONENT if a program has another version than the tag of its image */
export function assertSaid(
  said: string | undefined,
  version: string,
  path: string,
  images: readonly FoundImage[],
): void {
  if (said === version) return;
  const found = said === undefined ? "reports no version" : `reports version ${said}`;
  throw new MeshproofError(
    "ERR_COMPONENT",
    `${basename(path)} of ${placeOfProgram(path, images)} ${found}, not ${version}`,
    {
      hint: "the tag of an image must be the version of its programs: use the version that the program reports, or another registry",
    },
  );
}

export function placeOfProgram(path: string, images: readonly FoundImage[]): string {
  const image = images.find(({ files }) => path in files);
  return image ? `${image.reference}@${image.digest}` : "no image";
}

/** The digests of the images that a component was taken from, by their full names; empty where it was built here. */
export function imageDigestsOf({ details }: Pick<InstalledComponent, "details">): Record<string, string> {
  return Object.fromEntries(Object.entries(details).filter(([name]) => /^[\w.-]+\.[a-z]+\/\S+:\S+$/.test(name)));
}

/** Whether a component was taken from images. */
export function isFromImages(component: Pick<InstalledComponent, "details">): boolean {
  return Object.keys(imageDigestsOf(component)).length > 0;
}
