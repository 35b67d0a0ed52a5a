import { PatchStrategy, type V1Pod } from "@kubernetes/client-node";
import { MeshproofError } from "../model/errors.ts";
import { applyManifests } from "./apply.ts";
import type { Kube, Manifest } from "./client.ts";
import { readyPods, waitForDeployment } from "./wait.ts";
import type { Progress } from "../progress.ts";
import { GATEWAY, installIstio, waitForGateway } from "./install.ts";
import { hasProxy, untilMeshSynced } from "./mesh-setting.ts";
import { proxyVersions, versionsOf } from "./versions.ts";
import { proxyContainerOf } from "./proxy-container.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

export type UpgradeStrategy = "in-place" | "revision";

/** A cluster whose mesh this process can upgrade. */
export interface Upgradable {
  /** The requested meshes, in order: the cluster was started with the first, and can be upgraded to the others. */
  readonly meshes: readonly ReplaceableMesh[];
}

export interface ReplaceableMesh {
  /** The versions that its programs report; Envoy's if it is known before Envoy runs. */
  readonly versions: { readonly istio: string; readonly envoy?: string };
  /** Istio's manifests; with a revision, those of a second control plane. */
  manifests(revision?: string): Promise<Manifest[]>;
}

export interface UpgradeOptions {
  readonly kube: Kube;
  /** The manifests of the installed mesh. */
  readonly from: readonly Manifest[];
  /** The manifests of the new mesh; with a revision if the strategy is `revision`. */
  readonly to: readonly Manifest[];
  readonly strategy: UpgradeStrategy;
  /** The new control plane's revision, if the strategy is `revision`. */
  readonly revision: string;
  /** Namespaces whose workloads have sidecars, except workloads that opt out; namespaces that do not exist are ignored. */
  readonly namespaces: readonly string[];
  /** The versions that must run everywhere afterwards; if Envoy's is left out, all proxies must have the same one. */
  readonly versions: { readonly istio: string; readonly envoy?: string };
  /** Called when a phase starts. */
  readonly phase: (name: string) => void;
  readonly progress: Progress;
  readonly signal?: AbortSignal;
}

/**
 * Upgrades a running mesh: first the control plane, then the gateway, then the workloads' sidecars, as in Istio's upgrade
 * guides ("In-place Upgrades", "Canary Upgrades"). Returns when every proxy has the new one's configuration.
 * @throws MeshproofError ERR_WORKLOAD_NOT_READY, ERR_MESH_SETTING, or ERR_CLUSTER_START if something old still runs
 */
export async function upgradeIstio(options: UpgradeOptions): Promise<void> {
  const { kube, strategy, phase } = options;
  const inPlace = strategy === "in-place";
  const parts = partsOf(options.from, options.to);
  const signal = options.signal ? { signal: options.signal } : {};

  phase("control plane");
  const controlPlane = inPlace ? [...parts.controlPlane, ...parts.takeover] : parts.controlPlane;
  await installIstio(kube, controlPlane, { progress: options.progress, istiod: istiodOf(options.to), ...signal });
  if (inPlace) {
    await removeAll(kube, parts.obsolete);
    await untilMeshSynced(kube, signal);
  }

  phase("gateway");
  await applyManifests(kube, parts.gateway, signal);
  await restart(kube, ROOT_NAMESPACE, GATEWAY);
  await waitForGateway(kube, signal);

  phase("workloads");
  const existing = (await kube.core.listNamespace()).items.map(({ metadata }) => metadata?.name);
  for (const namespace of options.namespaces.filter((name) => existing.includes(name))) {
    if (!inPlace) await relabel(kube, namespace, options.revision);
    await restartAll(kube, namespace, signal);
  }

  if (!inPlace) {
    phase("old control plane");
    await removeAll(kube, parts.obsolete);
    await applyManifests(kube, parts.takeover, signal);
  }
  await untilMeshSynced(kube, signal);
  await assertVersions(kube, options.versions);
}

interface Parts {
  /** Istiod's objects and the CRDs. */
  readonly controlPlane: readonly Manifest[];
  /** Objects that make the new revision the default; for an upgrade in place they are ordinary objects. */
  readonly takeover: readonly Manifest[];
  readonly gateway: readonly Manifest[];
  /** Objects that only the old mesh has, without CRDs: their objects are the user's. */
  readonly obsolete: readonly Manifest[];
}

/** Sorts the objects into the parts of an upgrade. */
export function partsOf(from: readonly Manifest[], to: readonly Manifest[]): Parts {
  const identity = ({ kind, metadata }: Manifest): string => `${kind} ${metadata.namespace ?? ""}/${metadata.name}`;
  const kept = new Set(to.map(identity));
  const isGateway = ({ metadata }: Manifest): boolean => metadata.name.startsWith(GATEWAY);
  const takesOver = ({ kind, metadata }: Manifest): boolean =>
    /^(Mutating|Validating)WebhookConfiguration$/.test(kind) && /default/.test(metadata.name);
  return {
    controlPlane: to.filter((manifest) => !isGateway(manifest) && !takesOver(manifest)),
    takeover: to.filter((manifest) => !isGateway(manifest) && takesOver(manifest)),
    gateway: to.filter(isGateway),
    obsolete: from.filter((manifest) => manifest.kind !== "CustomResourceDefinition" && !kept.has(identity(manifest))),
  };
}

/** The name of istiod's Deployment, which ends with its revision if it has one. */
function istiodOf(manifests: readonly Manifest[]): string {
  const isIstiod = ({ kind, metadata }: Manifest): boolean => kind === "Deployment" && /^istiod\b/.test(metadata.name);
  return manifests.find(isIstiod)?.metadata.name ?? "istiod";
}

async function removeAll(kube: Kube, manifests: readonly Manifest[]): Promise<void> {
  for (const manifest of manifests) await kube.objects.remove(manifest);
}

/** Like `kubectl rollout restart`. */
async function restart(kube: Kube, namespace: string, name: string): Promise<void> {
  const annotations = { "kubectl.kubernetes.io/restartedAt": new Date().toISOString() };
  const patch = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: { template: { metadata: { annotations } } },
  };
  await kube.objects.patch(patch, undefined, undefined, undefined, undefined, PatchStrategy.StrategicMergePatch);
}

async function restartAll(kube: Kube, namespace: string, options: { signal?: AbortSignal }): Promise<void> {
  const { items } = await kube.apps.listNamespacedDeployment({ namespace });
  const optedOut = "sidecar.istio.io/inject";
  const injected = items.filter(({ spec }) => spec?.template.metadata?.labels?.[optedOut] !== "false");
  const names = injected.map(({ metadata }) => metadata?.name ?? "");
  // One after the other: a small node has no room for many new pods at once.
  for (const name of names) {
    await restart(kube, namespace, name);
    await waitForDeployment(kube, namespace, name, options);
  }
}

/** Removes `istio-injection`, which would take precedence over `istio.io/rev` (Istio, "Canary Upgrades"). */
async function relabel(kube: Kube, name: string, revision: string): Promise<void> {
  const labels = { "istio-injection": null, "istio.io/rev": revision };
  const patch = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name, labels: labels as unknown as Record<string, string> },
  };
  await kube.objects.patch(patch, undefined, undefined, undefined, undefined, PatchStrategy.MergePatch);
}

/** Compares the versions that the processes report with the wanted ones. */
async function assertVersions(kube: Kube, wanted: UpgradeOptions["versions"]): Promise<void> {
  const istiods = await readyPods(kube, ROOT_NAMESPACE, ISTIOD);
  const { istio } = await versionsOf(kube);
  const proxies = (await kube.core.listPodForAllNamespaces()).items.filter(hasProxy);
  const envoys = await proxyVersions(kube, proxies);
  const agents = [...new Set(proxies.map(agentImage))];
  const expected = wanted.envoy ?? envoys[0];
  const wrong = [
    ...(istiods.length === 1 ? [] : [`${istiods.length} istiods run`]),
    ...(istio === wanted.istio ? [] : [`istiod is ${istio}, not ${wanted.istio}`]),
    ...envoys.filter((envoy) => envoy !== expected).map((envoy) => `a proxy is Envoy ${envoy}, not ${expected}`),
    ...(agents.length === 1 ? [] : [`proxies have different images: ${agents.join(", ")}`]),
  ];
  if (wrong.length > 0)
    throw new MeshproofError("ERR_CLUSTER_START", `the upgrade is not complete: ${wrong.join("; ")}`);
}

function agentImage(pod: V1Pod): string {
  return proxyContainerOf(pod)?.image ?? "";
}
