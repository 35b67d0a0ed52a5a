/**
 * The interface of a cluster. Everything that is the same for all clusters (apply, watch, exec, logs) uses the
 * Kubernetes API through the cluster's kubeconfig.
 */

import type { ClusterInfo, JwksFetcher, MeshSetting } from "../harness/model/cluster.ts";

/** What a mesh on an existing cluster cannot or must not do. A scenario that needs it is skipped, with the reason. */
export interface MeshLimits {
  /** Who fetches a `jwksUri`, from istiod's environment; it is not changed. */
  readonly jwksFetch: JwksFetcher;
  /** Whether objects may reach beyond the run's own namespaces. */
  readonly meshWide: boolean;
  /** Whether there is a gateway that the documented selectors match. */
  readonly gateway: boolean;
  /** Whether its proxies write Istio's JSON access log, which contains Envoy's response code details. */
  readonly accessLog: boolean;
}

/** A certificate authority that istiod trusts for fetching a JWKS, so that a scenario's HTTPS endpoint can be trusted. */
export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8 PEM. Never written to a report. */
  readonly privateKey: string;
}

/** The records of a run on an existing cluster, so that all of its objects can be removed. */
export interface RunJournal {
  /** A file to which a line is written for every object before it is created. */
  readonly file: string;
  /** Labels on every object that the run creates. */
  readonly labels: Readonly<Record<string, string>>;
}

/** The values of `${ns}` and `${outside.ns}` on meshproof's own clusters. */
export const OWN_NAMESPACES = { namespace: "foo", outsideNamespace: "meshproof-outside" } as const;

export interface Cluster extends AsyncDisposable {
  readonly kind: ClusterInfo["kind"];
  readonly name: string;
  /** Path of a kubeconfig with exactly one context. */
  readonly kubeconfig: string;
  /** The value of `${ns}`. */
  readonly namespace: string;
  /** The namespace of clients and hosts outside the mesh, which gets no sidecars: `${outside.ns}`. */
  readonly outsideNamespace: string;
  /** Whether mesh-wide objects and settings may be changed: true on meshproof's own clusters. */
  readonly ours: boolean;
  /** The base URL by which the place `outside` (a pod without a sidecar) reaches the ingress gateway. */
  readonly ingressUrl: string;
  /** The CA that istiod trusts for HTTPS JWKS endpoints; undefined on existing clusters. */
  readonly jwksAuthority?: CertificateAuthority;
  /** Undefined on meshproof's own clusters. */
  readonly limits?: MeshLimits;
  /** Namespace labels that enable sidecar injection. */
  readonly injection: Readonly<Record<string, string>>;
  /** The journal of the created objects; undefined if the whole cluster is removed. */
  readonly journal?: RunJournal;
  /** Aborts, with a MeshproofError as its reason, if the cluster ends unexpectedly. */
  readonly lost: AbortSignal;
  /** Waits for the ingress gateway, which may still be starting when the cluster is opened. */
  ready(): Promise<void>;
  describe(): Promise<ClusterInfo>;
  /**
   * Changes the mesh setting and waits until istiod runs with it. Throws ERR_MESH_SETTING if `ours` is false and the setting differs.
   * @param options.restart ours: a new istiod in any case, which has fetched no keys yet
   */
  setMesh(setting: MeshSetting, options?: { readonly restart?: boolean }): Promise<void>;
  /** Ends the cluster if this process started it, and detaches otherwise. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** The data part of {@link Cluster}, for another process. */
export interface ClusterHandle {
  readonly kind: ClusterInfo["kind"];
  readonly name: string;
  readonly kubeconfig: string;
  readonly namespace: string;
  readonly outsideNamespace: string;
  readonly ours: boolean;
  readonly ingressUrl: string;
  readonly jwksAuthority?: CertificateAuthority;
  readonly injection: Readonly<Record<string, string>>;
  readonly journal?: RunJournal;
  readonly info: ClusterInfo;
}

/** Returns the data part of a cluster. */
export async function toHandle(cluster: Cluster): Promise<ClusterHandle> {
  const { kind, name, kubeconfig, namespace, outsideNamespace, ours, ingressUrl, injection } = cluster;
  const info = await cluster.describe();
  const facts = { kind, name, kubeconfig, namespace, outsideNamespace, ours, ingressUrl, injection, info };
  return {
    ...facts,
    ...(cluster.jwksAuthority ? { jwksAuthority: cluster.jwksAuthority } : {}),
    ...(cluster.journal ? { journal: cluster.journal } : {}),
  };
}
