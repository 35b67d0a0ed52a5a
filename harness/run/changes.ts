/** What a step changes in the cluster, and what its scenario has there. */

import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { applyManifest, nameOf, type Applying } from "../mesh/apply.ts";
import { statusOf } from "../mesh/api-error.ts";
import type { Manifest } from "../mesh/client.ts";
import type { ObjectRef } from "../mesh/journal.ts";
import { inLanes } from "../lanes.ts";
import { mapTexts } from "../safe/map-texts.ts";
import { substitute, type SubstitutionValues } from "../scenario/index.ts";
import type { ManifestFile } from "../model/manifest.ts";
import type { PolicyChange } from "../model/own-policy.ts";
import type { StepSpec } from "../model/scenario.ts";
import { deploymentOf, replicasOf } from "./gateways.ts";
import type { SessionPlan } from "./plan.ts";
import { MANAGED_LABEL, RUN_LABEL, runLabels } from "./workloads.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** An object that a step applied or deleted. */
export interface Change {
  readonly verb: "apply" | "delete";
  readonly manifest: Manifest;
  readonly file: string;
  /** Where the object begins in its file. */
  readonly line: number;
  /** Of this object alone, where its file has others. */
  readonly yaml: string;
  /** What meshproof changed of it, where it is from elsewhere in the user's repository. */
  readonly changes?: readonly PolicyChange[];
}

/** Objects that a scenario has in the cluster, by kind, namespace and name. */
export type Applied = Map<string, Manifest>;

/** The uid that the API server gave to an applied object. */
const uids = new WeakMap<Manifest, string>();

export interface AwaitedDeployment {
  readonly signal?: AbortSignal;
  /** How many pods what owns the Deployment demands, where it does. */
  readonly replicas?: number | undefined;
}

/** What applying takes of a session. */
export interface ChangingMesh {
  readonly plan: Pick<SessionPlan, "runId">;
  readonly handle: Pick<ClusterHandle, "namespace" | "ours">;
  readonly kube: {
    readonly objects: Applying["objects"] & {
      read(manifest: Manifest): Promise<{ readonly metadata?: { readonly labels?: Readonly<Record<string, string>> } }>;
      remove(manifest: Manifest): Promise<unknown>;
      removeExactly(object: ObjectRef, uid: string): Promise<unknown>;
    };
  };
  /** Waits until nothing serves a deleted Gateway any more. */
  gatewayGone(namespace: string, name: string): Promise<void>;
  /** Waits until all pods of a Deployment are ready and new. */
  deploymentReady(namespace: string, name: string, awaited: AwaitedDeployment): Promise<void>;
  /** Waits until a pod is ready. */
  podReady(namespace: string, name: string, signal?: AbortSignal): Promise<void>;
  forget(): void;
}

export function changesOf(step: Pick<StepSpec, "apply" | "delete">, values: SubstitutionValues): Change[] {
  const read = (file: ManifestFile, verb: Change["verb"]): Change[] => {
    const { objects, texts } = substitute(file, values);
    return objects.map((manifest, index) => {
      const { position, changes } = file.objects[index]!;
      const made = changes && { changes: mapTexts(changes, (text) => named(text, values)) };
      return { verb, manifest, file: file.file, line: position.line, yaml: texts[index]!, ...made };
    });
  };
  return [...step.delete.flatMap((file) => read(file, "delete")), ...step.apply.flatMap((file) => read(file, "apply"))];
}

/** The names of the run's namespaces in place of their substitutions. */
function named(text: string, { ns, outsideNs }: SubstitutionValues): string {
  return text.replaceAll("${ns}", () => ns).replaceAll("${outside.ns}", () => outsideNs);
}

/**
 * Makes the changes one after the other, and waits for the workloads among them. A change that was made already, since a step makes
 * some before the others, is not made again.
 * @param applied what the scenario has in the cluster; kept true
 * @throws ERR_MANIFEST_REJECTED where the API server refuses an object, or it is not the run's own
 */
export async function makeChanges(
  mesh: ChangingMesh,
  changes: readonly Change[],
  applied: Applied,
  signal?: AbortSignal,
): Promise<void> {
  for (const { verb, manifest } of changes) {
    const identity = identityOf(manifest);
    if (verb === "delete") {
      await removeOne(mesh, manifest);
      applied.delete(identity);
      continue;
    }
    if (applied.get(identity) === manifest) continue;
    // On a cluster that exists, an apply is a creation and refuses by itself.
    if (!applied.has(identity) && mesh.handle.ours) await refuseForeign(mesh, manifest);
    applied.set(identity, manifest);
    const made = await applyManifest(mesh.kube, manifest, {
      labels: runLabels(mesh.plan.runId),
      ...(signal ? { signal } : {}),
    });
    uids.set(manifest, made.metadata.uid ?? "");
  }
  await waitForOwnWorkloads(mesh, changes, [...applied.values()], signal);
}

/** Removes everything that a scenario still has in the cluster. The next scenario waits until the proxies have let go of it. */
export async function removeApplied(mesh: Removing, applied: Applied): Promise<void> {
  for (const [identity, manifest] of [...applied].reverse()) {
    await removeOne(mesh, manifest);
    applied.delete(identity);
  }
}

type Removing = Pick<ChangingMesh, "kube" | "handle" | "gatewayGone">;

/** The pods of a Gateway would otherwise go while the next scenario runs. */
async function removeOne(mesh: Removing, manifest: Manifest): Promise<void> {
  const { kind, metadata } = manifest;
  await mesh.kube.objects.remove(manifest);
  if (kind === "Gateway" && deploymentOf(manifest) !== undefined)
    await mesh.gatewayGone(metadata.namespace ?? mesh.handle.namespace, metadata.name);
}

/** What ending a scenario takes of a session. */
export interface Leaving extends Removing {
  /** What the scenario before has left, for the next one to remove. */
  readonly left: Applied;
}

/**
 * Ends a scenario: removes what it still has in the cluster, but for what the next one removes together with its own first change,
 * so that istiod pushes both at once. Only what the next scenario's wait proves to be gone is left to it, and only on clusters that
 * are meshproof's own.
 */
export async function leave(mesh: Leaving, applied: Applied): Promise<void> {
  for (const [identity, manifest] of applied) {
    if (!mesh.handle.ours || !uids.get(manifest) || !mayStay(manifest)) continue;
    mesh.left.set(identity, manifest);
    applied.delete(identity);
  }
  await removeApplied(mesh, applied);
}

/**
 * Removes what the scenario before has left, and nothing else: another worker may have swept it since, and applied another object of
 * the same name.
 */
export async function removeLeft({ kube, left }: Pick<Leaving, "kube" | "left">): Promise<void> {
  await inLanes([...left.values()], async (manifest) => {
    const { apiVersion, kind, metadata } = manifest;
    await kube.objects.removeExactly({ apiVersion, kind, ...metadata }, uids.get(manifest)!);
  });
  left.clear();
}

/** Workloads that are asked on the way to an answer, by istiod or by proxies: nothing may refuse what they are asked. */
const ASKED_APPS = new Set(["nginx-proxy", "outside-host", "ext-authz"]);

/** Whether a manifest is a policy of one workload that only its own proxy knows, so that the proxy's config shows when it is gone. */
function mayStay({ kind, metadata, spec }: Manifest): boolean {
  if (kind !== "RequestAuthentication" && kind !== "AuthorizationPolicy") return false;
  const { selector } = (spec ?? {}) as { selector?: { matchLabels?: Record<string, string> } };
  const app = selector?.matchLabels?.["app"];
  return metadata.namespace !== ROOT_NAMESPACE && app !== undefined && !ASKED_APPS.has(app);
}

/** Kinds that decide where a request goes and who judges it. */
const WORKLOAD_KINDS = new Set(["Service", "Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Gateway"]);

/** A step's own Deployments and Pods are ready before anything is asked, and what was looked up before it is looked up again. */
async function waitForOwnWorkloads(
  mesh: ChangingMesh,
  changes: readonly Change[],
  objects: readonly Manifest[],
  signal?: AbortSignal,
): Promise<void> {
  if (!changes.some(({ manifest }) => WORKLOAD_KINDS.has(manifest.kind))) return;
  await inLanes(changes, async ({ verb, manifest }) => {
    const deployment = verb === "apply" ? deploymentOf(manifest) : undefined;
    const namespace = manifest.metadata.namespace ?? mesh.handle.namespace;
    if (deployment !== undefined)
      await mesh.deploymentReady(namespace, deployment, {
        replicas: replicasOf(manifest, objects),
        ...(signal && { signal }),
      });
    if (verb === "apply" && manifest.kind === "Pod") await mesh.podReady(namespace, manifest.metadata.name, signal);
  });
  mesh.forget();
}

/** Refuses an object of the same name that this run did not create: it must not be replaced and then deleted. */
async function refuseForeign({ kube, plan }: ChangingMesh, manifest: Manifest): Promise<void> {
  let maker = "was not made by meshproof";
  try {
    const { labels } = (await kube.objects.read(manifest)).metadata ?? {};
    const run = labels?.[RUN_LABEL];
    // A managed object without a run's label is a workload of meshproof.
    const [label = "", value = ""] = Object.entries(MANAGED_LABEL)[0] ?? [];
    if (run === plan.runId || (run === undefined && labels?.[label] === value)) return;
    if (run !== undefined) maker = `was made by another run (${RUN_LABEL}: ${run})`;
  } catch (error) {
    if (statusOf(error) === 404) return;
    throw error;
  }
  throw new MeshproofError("ERR_MANIFEST_REJECTED", `${nameOf(manifest)} exists already and ${maker}`, {
    hint: "remove or rename it, or run on another cluster: meshproof would replace it and delete it afterwards",
  });
}

function identityOf(manifest: Manifest): string {
  return `${manifest.kind} ${manifest.metadata.namespace ?? ""}/${manifest.metadata.name}`;
}
