/** Finds the program that generates Istio's manifests. */

import type { ManifestOptions } from "../../harness/mesh/index.ts";
import { ensureIstio, manifestCommand } from "../components/components.ts";
import { placeOf, type ImagePlaces } from "../components/registry/names.ts";

type Generator = Pick<ManifestOptions, "generator" | "identity">;

/** On Linux the component's istioctl; elsewhere Docker runs the istioctl of this version. */
export async function findGenerator(version: string, options: Parameters<typeof ensureIstio>[1]): Promise<Generator> {
  if (process.platform !== "linux") return istioctlInDocker(version, options.images ?? {});
  const istio = await ensureIstio(version, options);
  return { generator: manifestCommand(istio), identity: istio.digest };
}

/** The published istioctl, run by Docker: the entry point of its image (istio/istio, istioctl/docker/Dockerfile.istioctl). */
export function istioctlInDocker(version: string, places: ImagePlaces): Generator {
  const { reference } = placeOf(`docker.io/istio/istioctl:${version}`, places);
  const docker = ["docker", "run", "--rm", "--network=none", "--entrypoint=/usr/local/bin/istioctl"] as const;
  return { generator: [...docker, reference, "manifest", "generate"], identity: reference };
}
