/** A released Istio, out of its images. */

import { basename, join } from "node:path";

import { MeshproofError } from "../../harness/model/errors.ts";
import type { InstalledComponent } from "./entry.ts";
import { askProgram, assertSaid, placeOfProgram, type FoundImage, type ImageComponent } from "./images.ts";
import { FILTER_MARKS, hasIstioFilters } from "./istio-filters.ts";
import { digestOfTree, sha256OfFile } from "./manifest.ts";
import type { Workshop } from "./recipe.ts";

/** By image: path in the component to path in the image (the Dockerfiles of istio/istio). */
const FILES: Readonly<Record<string, Readonly<Record<string, readonly string[]>>>> = {
  pilot: { "bin/pilot-discovery": ["usr/local/bin/pilot-discovery"] },
  proxyv2: {
    "bin/pilot-agent": ["usr/local/bin/pilot-agent"],
    "bin/envoy": ["usr/local/bin/envoy"],
    "envoy_bootstrap.json": ["var/lib/istio/envoy/envoy_bootstrap_tmpl.json"],
  },
  istioctl: { "bin/istioctl": ["usr/local/bin/istioctl"] },
};

/** Those of them that print Istio's version. */
const GO_PROGRAMS = ["bin/pilot-discovery", "bin/pilot-agent", "bin/istioctl"];

const OWN_FILTERS = "Istio's own filters";

const nameOf = (image: string, version: string) => `docker.io/istio/${image}:${version}`;

/** The full names of the images of a release. */
export function releaseImages(version: string): string[] {
  return Object.keys(FILES).map((image) => nameOf(image, version));
}

/** Whether it is a whole version, as Istio tags its images: `1.29.2`, `1.30.0-rc.1`. */
export function isReleaseVersion(istio: string): boolean {
  return /^\d+\.\d+\.\d+(-[0-9A-Za-z][0-9A-Za-z.-]*)?$/.test(istio);
}

/** A release, with the Envoy that comes with it. */
export function releaseComponent(version: string): ImageComponent {
  return {
    name: "istio",
    version,
    images: Object.entries(FILES).map(([image, files]) => ({ name: nameOf(image, version), files })),
    effort: "a download of about 150 MB",
    inputs: () => [JSON.stringify(FILTER_MARKS)],
    async inspect(shop, images) {
      for (const path of GO_PROGRAMS) {
        const remote = basename(path) === "istioctl" ? ["--remote=false"] : [];
        const said = saidVersion(await askProgram(path, ["version", "--output", "json", ...remote], images, shop));
        assertSaid(said, version, path, images);
      }
      return describeEnvoy(images, shop);
    },
  };
}

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
async function describeEnvoy(images: readonly FoundImage[], shop: Workshop): Promise<Record<string, string>> {
  const said = await askProgram("bin/envoy", ["--version"], images, shop);
  const version = /version: \w+\/([^/\s]+)\//.exec(said)?.[1];
  if (version === undefined)
    throw new MeshproofError(
      "ERR_COMPONENT",
      `envoy of ${placeOfProgram("bin/envoy", images)} reports no version: ${said.trim()}`,
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
