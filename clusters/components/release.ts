/** A released Istio, out of its images' layers: no container engine, no build. */

import { chmod, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import { openImage, readDigest } from "./registry/client.ts";
import { mirrored, placeOf, type ImagePlaces } from "./registry/names.ts";
import { takeFiles } from "./registry/unpack.ts";
import type { InstalledComponent } from "./entry.ts";
import { FILTER_MARKS, hasIstioFilters } from "./istio-filters.ts";
import { digestOfTree, sha256OfFile } from "./manifest.ts";
import type { Recipe, Workshop } from "./recipe.ts";
import { rememberDigests, rememberedDigests } from "./remembered.ts";

/** By image: path in the component to path in the image (the Dockerfiles of istio/istio). */
const FILES: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  pilot: { "bin/pilot-discovery": "usr/local/bin/pilot-discovery" },
  proxyv2: {
    "bin/pilot-agent": "usr/local/bin/pilot-agent",
    "bin/envoy": "usr/local/bin/envoy",
    "envoy_bootstrap.json": "var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
  },
  istioctl: { "bin/istioctl": "usr/local/bin/istioctl" },
};

/** Which of them say Istio's version. */
const GO_PROGRAMS: ReadonlySet<string> = new Set(["bin/pilot-discovery", "bin/pilot-agent", "bin/istioctl"]);

const OWN_FILTERS = "Istio's own filters";

/** As Go, and so an image, calls it. */
const ARCHITECTURE = process.arch === "x64" ? "amd64" : process.arch;

export interface ReleaseOptions {
  /** Where the images come from; the registry that they are published in where it is left out. */
  readonly places?: ImagePlaces | undefined;
  /** Asks the registry even for a tag whose digest is remembered. */
  readonly refresh?: boolean | undefined;
  readonly cache: string;
  readonly signal?: AbortSignal | undefined;
  /** What to do where an image cannot be had, one sentence. */
  readonly hint: string;
}

/** An image of a release, with the digest that is meant. */
interface ReleaseImage {
  /** Such as `pilot`. */
  readonly image: string;
  /** `docker.io/istio/pilot:1.29.2`, wherever it is pulled from. */
  readonly name: string;
  /** Where it is pulled from, by its tag. */
  readonly reference: string;
  readonly digest: string;
  /** Whether somebody demands this digest, whatever the tag leads to. */
  readonly given: boolean;
}

const nameOf = (image: string, version: string) => `docker.io/istio/${image}:${version}`;

/** The full names of the images of a release. */
export function releaseImages(version: string): string[] {
  return Object.keys(FILES).map((image) => nameOf(image, version));
}

/**
 * The recipe of a release. Its digests are the given ones, else those that are remembered from the last time, else what
 * its tags lead to now.
 * @throws MeshproofError ERR_COMPONENT where the registry is needed and cannot be reached, or has no such image
 */
export async function releaseRecipe(version: string, options: ReleaseOptions): Promise<Recipe> {
  const images = await findDigests(version, options);
  const digests = Object.fromEntries(images.map(({ name, digest }) => [name, digest]));
  return {
    name: "istio",
    version,
    source: `images docker.io/istio/{${Object.keys(FILES).join(",")}}:${version}`,
    effort: "a download of about 150 MB",
    inputs: () => Promise.resolve([digests, FILES, FILTER_MARKS].map((part) => JSON.stringify(part))),
    async build(shop) {
      await mkdir(join(shop.files, "bin"));
      for (const image of images) await unpack(image, shop, options.hint);
      const details: Record<string, string> = { ...digests };
      for (const image of images)
        for (const path of Object.keys(FILES[image.image] ?? {})) {
          if (GO_PROGRAMS.has(path)) await assertVersion(path, image, version, shop);
          if (path === "bin/envoy") Object.assign(details, await describeEnvoy(image, shop));
        }
      return details;
    },
    async installed() {
      const byTag = images.filter(({ given }) => !given);
      const found = Object.fromEntries(byTag.map(({ reference, digest }) => [reference, digest]));
      await rememberDigests(options.cache, found);
    },
  };
}

async function findDigests(version: string, options: ReleaseOptions): Promise<ReleaseImage[]> {
  const { cache, places = {}, refresh = false, hint, signal } = options;
  const remembered = refresh ? {} : await rememberedDigests(cache);
  return Promise.all(
    Object.keys(FILES).map(async (image): Promise<ReleaseImage> => {
      const name = nameOf(image, version);
      const reference = mirrored(name, places.mirror);
      const pinned = placeOf(name, places).digest;
      const digest = pinned ?? remembered[reference] ?? (await readDigest(reference, { hint, signal }));
      return { image, name, reference, digest, given: pinned !== undefined };
    }),
  );
}

async function unpack({ image, reference, digest }: ReleaseImage, shop: Workshop, hint: string): Promise<void> {
  const { files, work, signal, progress } = shop;
  const wanted = Object.entries(FILES[image] ?? {}).map(([to, from]) => [from, join(files, to)] as const);
  progress(`reading ${reference}@${digest}`);
  const opened = await openImage(`${reference}@${digest}`, ARCHITECTURE, { hint, signal });
  await takeFiles(opened, Object.fromEntries(wanted), work);
  for (const [, file] of wanted) if (!file.startsWith(join(files, "bin/"))) await chmod(file, 0o644);
}

/** @throws MeshproofError ERR_COMPONENT where a program does not run here, or is of another version than its image's tag says */
async function assertVersion(path: string, image: ReleaseImage, version: string, shop: Workshop): Promise<void> {
  const remote = path === "bin/istioctl" ? ["--remote=false"] : [];
  const said = saidVersion(await askProgram(path, ["version", "--output", "json", ...remote], image, shop));
  if (said === version) return;
  const found = said === undefined ? "does not say which version it is" : `says that it is ${said}`;
  throw new MeshproofError("ERR_COMPONENT", `${basename(path)} of ${placed(image)} ${found}, not ${version}`, {
    hint: "an image's tag must be the version of what is in it: choose the version that the program says, or another registry",
  });
}

/** What a program prints; an error names its image, since the program's own folder is gone when it is read. */
async function askProgram(path: string, args: readonly string[], image: ReleaseImage, shop: Workshop): Promise<string> {
  return shop.run([join(shop.files, path), ...args]).catch((cause: unknown) => {
    if (!(cause instanceof MeshproofError) || cause.code === "ERR_INTERRUPTED") throw cause;
    throw new MeshproofError("ERR_COMPONENT", `${basename(path)} of ${placed(image)} does not run here`, {
      ...(cause.hint === undefined ? {} : { hint: cause.hint }),
      cause,
    });
  });
}

const placed = ({ reference, digest }: ReleaseImage) => `${reference}@${digest}`;

/** Of the build information that `version --output json` prints (istio/istio pkg/version/cobra.go). */
export function saidVersion(output: string): string | undefined {
  try {
    const { clientVersion } = JSON.parse(output) as { clientVersion?: { version?: unknown } };
    return typeof clientVersion?.version === "string" ? clientVersion.version : undefined;
  } catch {
    return undefined;
  }
}

/** What {@link ownEnvoyOf} needs to know. */
async function describeEnvoy(image: ReleaseImage, shop: Workshop): Promise<Record<string, string>> {
  const said = await askProgram("bin/envoy", ["--version"], image, shop);
  const version = /version: \w+\/([^/\s]+)\//.exec(said)?.[1];
  if (version === undefined)
    throw new MeshproofError(
      "ERR_COMPONENT",
      `envoy of ${placed(image)} does not say which version it is: ${said.trim()}`,
    );
  const program = join(shop.files, "bin/envoy");
  const facts = [
    { path: "bin", kind: "directory", size: 0, mtime: 0, content: "" },
    { path: "bin/envoy", kind: "program", size: 0, mtime: 0, content: await sha256OfFile(program) },
  ] as const;
  return {
    envoy: version,
    "envoy digest": digestOfTree(facts),
    [OWN_FILTERS]: (await hasIstioFilters(program)) ? "yes" : "no",
  };
}

/** What is written down of a component, in its entry or on the shelf. */
type Described = Pick<InstalledComponent, "details">;

/** The Envoy that came with a release, as a component of its own; undefined where Istio was built here. */
export function ownEnvoyOf(istio: InstalledComponent): InstalledComponent | undefined {
  const { envoy, "envoy digest": digest } = istio.details;
  if (envoy === undefined || digest === undefined) return undefined;
  return { ...istio, name: "envoy", version: envoy, digest, programs: ["envoy"] };
}

/** Whether the Envoy that came with a release has Istio's own filters. */
export function hasOwnFilters({ details }: Described): boolean {
  return details[OWN_FILTERS] === "yes";
}

/** The digests of the images that a component was taken from, by their full names; empty where it was built here. */
export function imageDigestsOf({ details }: Described): Record<string, string> {
  return Object.fromEntries(Object.entries(details).filter(([name]) => name.startsWith("docker.io/")));
}

/** Whether a component was taken from images. */
export function isRelease(component: Described): boolean {
  return Object.keys(imageDigestsOf(component)).length > 0;
}
