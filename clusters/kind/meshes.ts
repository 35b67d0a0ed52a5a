import { chooseMesh, type InstalledMesh, type WantedMesh } from "../components/components.ts";
import { proxyTag } from "../components/catalogue.ts";
import { isReleaseVersion } from "../components/release.ts";
import { MeshproofError } from "../../harness/model/errors.ts";

/** One mesh of a kind cluster, by the images that there are of it. */
export interface KindMesh {
  readonly versions: { readonly istio: string; readonly envoy?: string };
  /** The proxies' image, where it is not Istio's own of this version. */
  readonly proxyImage?: string;
  /** Whether proxyv2 is upstream Envoy, without Istio's own filters. */
  readonly upstreamEnvoy: boolean;
}

/** The hub that Istio's manifests name. */
const HUB = "docker.io/istio";

/** What Istio's manifests name. */
export function meshImages({ versions: { istio }, proxyImage }: KindMesh): string[] {
  return [`${HUB}/pilot:${istio}`, proxyImage ?? `${HUB}/proxyv2:${istio}`];
}

/**
 * A mesh out of Istio's published images, with the Envoy that is in them.
 * @throws MeshproofError ERR_USAGE where there are none
 */
export function publishedMesh(wanted: WantedMesh): KindMesh {
  const why = whyNotPublished(wanted);
  if (why !== undefined)
    throw new MeshproofError("ERR_USAGE", why, {
      hint: "--images offline builds them here; a released Istio has a whole version, such as 1.29.2",
    });
  return { versions: { istio: chooseMesh({ istio: wanted.istio }).istio }, upstreamEnvoy: false };
}

/** Why a mesh cannot be had as published images. */
export function whyNotPublished({ istio, envoy }: WantedMesh): string | undefined {
  if (envoy !== undefined)
    return `Envoy ${envoy} cannot be chosen: Istio's published images have the Envoy of their Istio`;
  const { istio: version } = chooseMesh({ istio });
  return isReleaseVersion(version) ? undefined : `Istio ${version} is not a release, so no images of it are published`;
}

/** A mesh out of images that are made here. */
export function ownMesh({ choice, versions, upstreamEnvoy }: InstalledMesh): KindMesh {
  return { versions, proxyImage: `${HUB}/proxyv2:${proxyTag(choice)}`, upstreamEnvoy };
}
