/** What a start needs before the cluster runs: Istio's manifests, and the data that etcd starts with. */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Manifest } from "../../harness/mesh/client.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { cacheRoot } from "../components/cache.ts";
import { proxyTag } from "../components/catalogue.ts";
import { manifestCommand, type Installed, type InstalledMesh } from "../components/components.ts";
import { launch } from "./launch.ts";
import type { StartData } from "./messages.ts";
import type { RunDir } from "./run-dir.ts";
import { ensureStartData } from "./start-data.ts";

/** What a start knows before the cluster runs. */
export interface Prepared {
  /** Istio's, and the CRDs of the Gateway API. */
  readonly manifests: readonly Manifest[];
  /** With these objects already. */
  readonly data: StartData | undefined;
}

/**
 * @param starting how the cluster will be launched
 * @throws ERR_CLUSTER_START, ERR_COMPONENT, ERR_INTERRUPTED
 */
export async function prepare(
  dir: RunDir,
  starting: Parameters<typeof launch>[0] & { readonly signal?: AbortSignal | undefined },
): Promise<Prepared> {
  const { installed, progress, signal } = starting;
  const [mesh] = installed.meshes;
  if (!mesh) throw new Error("a cluster has a mesh");
  const { gatewayApiCrds } = await import("../../harness/mesh/gateway-api.ts");
  const [istio, crds] = await Promise.all([manifestsOf(undefined, installed, mesh, { signal }), gatewayApiCrds()]);
  const manifests = [...crds, ...istio];
  const data = await ensureStartData({
    ...{ installed, manifests, progress, signal },
    launch: (makeDataAt) => launch({ ...starting, keep: false, makeDataAt }),
    async apply(shared) {
      const { applyIstio } = await import("../../harness/mesh/index.ts");
      const { connect } = await import("../../harness/mesh/client.ts");
      await applyIstio(connect(dir.kubeconfig), shared, signal ? { signal } : {});
    },
  });
  return { manifests, data };
}

/** Istio's manifests with the proxies' image of these versions; without a cluster's folder, for any cluster. */
export async function manifestsOf(
  dir: RunDir | undefined,
  installed: Installed,
  mesh: InstalledMesh,
  options: { readonly revision?: string | undefined; readonly signal?: AbortSignal | undefined },
): Promise<Manifest[]> {
  const [{ istioManifests }, { canBeWaypoints }] = await Promise.all([
    import("../../harness/mesh/manifests.ts"),
    import("../../harness/mesh/waypoints.ts"),
  ]);
  const { istio } = mesh.versions;
  const component = installed.components.find(({ name, version }) => name === "istio" && version === istio);
  if (!component) throw new MeshproofError("ERR_COMPONENT", `Istio ${istio} is not installed`);
  return istioManifests({
    generator: manifestCommand(component),
    identity: component.digest,
    cache: join(cacheRoot(), "istio-manifests"),
    upstreamEnvoy: mesh.upstreamEnvoy,
    waypoints: canBeWaypoints({ upstreamEnvoy: mesh.upstreamEnvoy, envoy: mesh.versions.envoy }),
    proxyImage: `docker.io/istio/proxyv2:${proxyTag(mesh.choice)}`,
    ...(dir && { jwksAuthority: await readFile(dir.jwksAuthority.certificate, "utf8") }),
    ...(options.revision === undefined ? {} : { revision: options.revision }),
    ...(options.signal ? { signal: options.signal } : {}),
  });
}
