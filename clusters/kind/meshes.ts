import { chooseMesh, type InstalledMesh, type WantedMesh } from "../components/components.ts";
import { proxyTag } from "../components/catalogue.ts";
import { isReleaseVersion } from "../components/release.ts";
import { MeshproofError } from "../../harness/model/errors.ts";

/** One mesh of a kind cluster, with its images. */
export interface KindMesh {
  readonly versions: { readonly istio: string; readonly envoy?: string };
  /** The proxies' image, if it is not Istio's image of this version. */
  readonly proxyImage?: string;
  /** Whether proxyv2 is upstream Envoy, without Istio's filters. */
  readonly upstreamEnvoy: boolean;
}

/** The image hub in Istio's manifests. */
const HUB = "docker.io/istio";

/** The images in Istio's manifests. */
export function meshImages({ versions: { istio }, proxyImage }: KindMesh): string[] {
  return [`${HUB}/pilot:${istio}`, proxyImage ?? `${HUB}/proxyv2:${istio}`];
}

/**
 * A mesh from Istio's published images, with the Envoy in them.
 * @throws MeshproofError ERR_USAGE if there are none
 */
export function publishedMesh(wanted: WantedMesh): KindMesh {
  const why = whyNotPublished(wanted);
  if (why !== undefined)
    throw new MeshproofError("ERR_USAGE", why, {
      hint: "--images offline builds them here; a released Istio has a whole version, such as 1.29.2",
    });
  return { versions: { istio: chooseMesh({ istio: wanted.istio }).istio }, upstreamEnvoy: false };
}

/** Why a mesh is not available as published images; undefined if it is. */
export function whyNotPublished({ istio, envoy }: WantedMesh): string | undefined {
  if (envoy !== undefined)
    return `Envoy ${envoy} cannot be chosen: Istio's published images have the Envoy of their Istio`;
  const { istio: version } = chooseMesh({ istio });
  return isReleaseVersion(version) ? undefined : `Istio ${version} is not a release, so no images of it are published`;
}

/** A mesh from images that are built here. */
export function ownMesh({ choice, versions, upstreamEnvoy }: InstalledMesh): KindMesh {
  return { versions, proxyImage: `${HUB}/proxyv2:${proxyTag(choice)}`, upstreamEnvoy };
}
