/**
 * The one thing that differs between clusters. Everything else (apply, watch, exec, logs) goes through the
 * Kubernetes API of the kubeconfig that a cluster gives.
 */

import type { ClusterInfo, JwksFetcher, MeshSetting } from "../harness/model/cluster.ts";

/** What a mesh that is not ours cannot do, or must not be made to do. A scenario that needs it is skipped, and says why. */
export interface MeshLimits {
  /** Who fetches a `jwksUri`, by istiod's environment; nobody changes it. */
  readonly jwksFetch: JwksFetcher;
  /** Whether objects may reach beyond the run's own namespaces. */
  readonly meshWide: boolean;
  /** Whether there is a gateway that the documented selectors choose. */
  readonly gateway: boolean;
  /** Whether its proxies write Istio's JSON access log, which has Envoy's response code details. */
  readonly accessLog: boolean;
}

/** A certificate authority that istiod trusts for fetching a JWKS, so that a scenario's HTTPS endpoint can be trusted. */
export interface CertificateAuthority {
  /** PEM. */
  readonly certificate: string;
  /** PKCS #8 PEM. Never written to a report. */
  readonly privateKey: string;
}

/** What a run must do on a cluster that stays, so that nothing of it does. */
export interface RunJournal {
  /** A file that takes a line for every object before it is created. */
  readonly file: string;
  /** On every object that the run creates. */
  readonly labels: Readonly<Record<string, string>>;
}

/** What `${ns}` and `${outside.ns}` stand for on clusters that are ours. */
export const OWN_NAMESPACES = { namespace: "foo", outsideNamespace: "meshproof-outside" } as const;

export interface Cluster extends AsyncDisposable {
  readonly kind: ClusterInfo["kind"];
  readonly name: string;
  /** Path of a kubeconfig with exactly one context. */
  readonly kubeconfig: string;
  /** The namespace that `${ns}` stands for. */
  readonly namespace: string;
  /** The namespace of clients and hosts outside the mesh, which gets no sidecars: `${outside.ns}`. */
  readonly outsideNamespace: string;
  /** Whether mesh-wide objects and settings may be changed: true on clusters that are ours. */
  readonly ours: boolean;
  /** The base URL by which the place `outside` (a pod without a sidecar) reaches the ingress gateway. */
  readonly ingressUrl: string;
  /** The CA that istiod trusts for HTTPS JWKS endpoints; undefined on clusters that are not ours. */
  readonly jwksAuthority?: CertificateAuthority;
  /** Undefined on clusters that are ours. */
  readonly limits?: MeshLimits;
  /** Labels by which a namespace's pods get sidecars. */
  readonly injection: Readonly<Record<string, string>>;
  /** Where every object is written down before it is created; undefined where the whole cluster goes. */
  readonly journal?: RunJournal;
  /** Aborts, with a MeshproofError as its reason, when the cluster ends without being told to. */
  readonly lost: AbortSignal;
  /** Waits for what may still be starting when the cluster is opened: the ingress gateway. */
  ready(): Promise<void>;
  describe(): Promise<ClusterInfo>;
  /**
   * Brings the mesh to this setting and waits until istiod runs with it. Throws ERR_MESH_SETTING where `ours` is false and it differs.
   * @param options.restart ours: a new istiod in any case, which has fetched no keys yet
   */
  setMesh(setting: MeshSetting, options?: { readonly restart?: boolean }): Promise<void>;
  /** Ends the cluster if this process started it, and detaches otherwise. */
  [Symbol.asyncDispose](): Promise<void>;
}

/** How a running cluster is told to another process (a file named by MESHPROOF_CLUSTER_FILE): the data part of {@link Cluster}. */
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

/** The data part of a cluster, for another process. */
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
