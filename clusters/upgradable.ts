import type { Manifest } from "../harness/mesh/client.ts";
import type { Cluster } from "./cluster.ts";

/** A cluster whose mesh this process can replace. */
export interface UpgradableCluster extends Cluster {
  /** What it was asked for, in that order: it was started with the first, and can be upgraded to the others. */
  readonly meshes: readonly ReplaceableMesh[];
}

export interface ReplaceableMesh {
  /** What its programs say they are; Envoy's where that is known before it runs. */
  readonly versions: { readonly istio: string; readonly envoy?: string };
  /** Istio's manifests, of a control plane beside another one where a revision is named. */
  manifests(revision?: string): Promise<Manifest[]>;
}
