/** What became of the pods while something was judged: an answer from beside a crash proves nothing. */

import { mkdir, writeFile } from "node:fs/promises";
import path from "node:path";
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import type { Kube } from "../mesh/client.ts";
import type { Disturbance } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import type { SessionPlan } from "./plan.ts";
import { deploymentOf } from "./gateways.ts";
import type { Session } from "./session.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../model/cluster.ts";

/** Pods to look at. */
export interface PodSelection {
  readonly namespace: string;
  readonly labelSelector?: string;
}

interface ContainerSeen {
  readonly name: string;
  readonly restartCount: number;
  readonly running: boolean;
  /** What differs between two runs of a container: its id where it has one, and when it started. */
  readonly run: string;
  /** The end of the run before this one, or of this one where it is over. */
  readonly last?: Disturbance["last"];
}

interface PodSeen {
  readonly namespace: string;
  readonly pod: string;
  readonly uid: string;
  /** `Deployment httpbin`: what makes another pod like this one. */
  readonly owner?: string;
  readonly leaving: boolean;
  readonly containers: readonly ContainerSeen[];
}

/** All pods of some selections, as the API server had them at a moment. */
export interface PodsSeen {
  /** `Date.now()` when the answer was there. */
  readonly at: number;
  readonly pods: readonly PodSeen[];
}

/** The pods as they are now, by a consistent read. Some milliseconds (docs/decisions.md). */
export async function readPods(kube: Kube, selections: readonly PodSelection[]): Promise<PodsSeen> {
  const lists = await Promise.all(
    selections.map(({ namespace, labelSelector }) =>
      kube.core.listNamespacedPod({ namespace, ...(labelSelector === undefined ? {} : { labelSelector }) }),
    ),
  );
  return { at: Date.now(), pods: lists.flatMap(({ items }) => items.filter(isAlive).map(toSeen)) };
}

/** A pod that has completed (of a Job) judges no request. */
function isAlive({ status }: V1Pod): boolean {
  return status?.phase !== "Succeeded" && status?.phase !== "Failed";
}

function toSeen({ metadata, spec, status }: V1Pod): PodSeen {
  const owner = ownerOf(metadata);
  const sidecars = spec?.initContainers?.filter(({ restartPolicy }) => restartPolicy === "Always") ?? [];
  const lasting = new Set([...sidecars, ...(spec?.containers ?? [])].map(({ name }) => name));
  return {
    namespace: metadata?.namespace ?? "",
    pod: metadata?.name ?? "",
    uid: metadata?.uid ?? "",
    ...(owner === undefined ? {} : { owner }),
    leaving: metadata?.deletionTimestamp !== undefined,
    // An init container ends as it should; one that failed was started again.
    containers: [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
      .filter(({ name, restartCount }) => lasting.has(name) || restartCount > 0)
      .map(toContainer),
  };
}

/** A ReplicaSet's name is its Deployment's and a hash of the pod template. */
function ownerOf(metadata: V1Pod["metadata"]): string | undefined {
  const controller = metadata?.ownerReferences?.find((owner) => owner.controller === true);
  if (!controller) return undefined;
  const hash = metadata?.labels?.["pod-template-hash"];
  return controller.kind === "ReplicaSet" && hash !== undefined && controller.name.endsWith(`-${hash}`)
    ? `Deployment ${controller.name.slice(0, -hash.length - 1)}`
    : `${controller.kind} ${controller.name}`;
}

function toContainer({ name, restartCount, state, lastState, containerID }: V1ContainerStatus): ContainerSeen {
  const last = state?.terminated ?? lastState?.terminated;
  return {
    name,
    restartCount,
    running: state?.running !== undefined,
    run: `${containerID ?? ""} ${timeOf(state?.running?.startedAt) ?? ""}`,
    ...(last && {
      last: {
        ...(last.reason === undefined ? {} : { reason: last.reason }),
        exitCode: last.exitCode,
        ...(last.signal === undefined ? {} : { signal: last.signal }),
        ...(last.finishedAt === undefined ? {} : { finishedAt: timeOf(last.finishedAt) ?? "" }),
      },
    }),
  };
}

/** The client gives dates, for all that its types say. */
function timeOf(time: Date | string | undefined): string | undefined {
  return time === undefined ? undefined : new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Containers of one and the same pod that ran and do not any more, or run anew; of pods that came since, those that restarted. */
export function findDeaths(before: PodsSeen, after: PodsSeen): Disturbance[] {
  const known = new Map(before.pods.map((pod) => [pod.uid, pod]));
  // A container of a pod that is being deleted does not count as a death.
  const staying = after.pods.filter(({ leaving }) => !leaving);
  return staying.flatMap(({ namespace, pod, uid, containers }) =>
    containers
      .filter((now) =>
        died(
          known.get(uid)?.containers.find(({ name }) => name === now.name),
          now,
        ),
      )
      .map(({ name, last }): Disturbance => ({ kind: "died", namespace, pod, container: name, ...(last && { last }) })),
  );
}

function died(before: ContainerSeen | undefined, now: ContainerSeen): boolean {
  if (before === undefined) return now.restartCount > 0;
  return now.restartCount > before.restartCount || (before.running && (!now.running || now.run !== before.run));
}

/** Pods that went, and pods that came beside others of the same Deployment: who judges is not who was looked at. */
export function findReplaced(before: PodsSeen, after: PodsSeen): (Disturbance & { readonly owner?: string })[] {
  const now = new Map(after.pods.map((pod) => [pod.uid, pod]));
  const known = new Set(before.pods.map(({ uid }) => uid));
  const owners = new Set(before.pods.map(({ namespace, owner }) => owner && `${namespace} ${owner}`));
  const told = ({ namespace, pod, owner }: PodSeen, kind: "gone" | "came"): Disturbance & { owner?: string } => ({
    ...{ kind, namespace, pod },
    ...(owner === undefined ? {} : { owner }),
  });
  return [
    ...before.pods
      .filter(({ uid, leaving }) => !leaving && (now.get(uid)?.leaving ?? true))
      .map((pod) => told(pod, "gone")),
    ...after.pods
      .filter(({ uid, namespace, owner }) => !known.has(uid) && owner && owners.has(`${namespace} ${owner}`))
      .map((pod) => told(pod, "came")),
  ];
}

/** Kinds that make pods: who changes one means to replace its pods. */
const MAKERS = new Set(["Pod", "Deployment", "ReplicaSet", "StatefulSet", "DaemonSet", "Job"]);

/** What of a scenario's own manifests makes pods: `Deployment httpbin`. */
function makersOf(scenario: Scenario): Set<string> {
  const files = scenario.steps.flatMap(({ apply, delete: deleted }) => [...apply, ...deleted]);
  const made = files.flatMap(({ objects }) => objects.map(({ object }) => object));
  return new Set(
    made.flatMap((object) => {
      const { kind, metadata } = object;
      const deployment = deploymentOf(object);
      if (deployment !== undefined) return [`Deployment ${deployment}`];
      return MAKERS.has(kind) ? [`${kind} ${metadata.name}`] : [];
    }),
  );
}

/** What disturbed a scenario: each container that died, and pods that others than the scenario itself replaced. */
export function findDisturbances(scenario: Scenario, before: PodsSeen, after: PodsSeen): Disturbance[] {
  const own = makersOf(scenario);
  const replaced = findReplaced(before, after).filter(({ owner, pod }) => !own.has(owner ?? `Pod ${pod}`));
  return [...findDeaths(before, after), ...replaced.map(({ owner: _, ...disturbance }) => disturbance)];
}

/** What was seen around a scenario. */
export interface Around {
  /** Where it ran; 1 where it is left out. */
  readonly lane?: number;
  readonly before: PodsSeen;
  readonly after: PodsSeen;
}

/** Looks at the pods of a scenario while it runs. */
export interface Lookout {
  /** Before the scenario takes away what it applied: pods of its own are gone afterwards, and so is what they say. */
  beforeRemoval(): Promise<void>;
  /** @returns what disturbed the scenario, as far as the kubelets have published it; see {@link reviewDeaths} */
  close(): Promise<Disturbance[]>;
}

/**
 * Begins to look at every pod that a scenario's answers depend on: judges, targets, clients and JWKS servers, which live in the
 * run's namespaces, istiod, and the ingress gateway where it is asked.
 */
export async function openLookout(session: Session, scenario: Scenario): Promise<Lookout> {
  const selections = selectionsOf([session.handle], [scenario]);
  const look = async (): Promise<PodsSeen> => session.shown(await readPods(session.kube, selections));
  const lists = [await look()];
  const makes = makersOf(scenario).size > 0;
  return {
    async beforeRemoval() {
      if (makes) lists.push(await look());
    },
    async close() {
      const before = lists[0] as PodsSeen;
      const after = await look();
      lists.push(after);
      await keep(session, scenario.id, { lane: session.lane, before, after });
      const found = lists.slice(1).flatMap((list, index) => findDisturbances(scenario, lists[index] as PodsSeen, list));
      return [...new Map(found.map((one) => [JSON.stringify(one), one])).values()];
    },
  };
}

export function selectionsOf(
  lanes: readonly Pick<ClusterHandle, "namespace" | "outsideNamespace">[],
  scenarios: readonly Scenario[],
): PodSelection[] {
  const gateway = scenarios.some(({ steps }) =>
    steps.some(({ checks }) => checks.some(({ request }) => request.to === "ingress")),
  );
  return [
    ...lanes.flatMap(({ namespace, outsideNamespace }) => [{ namespace }, { namespace: outsideNamespace }]),
    { namespace: ROOT_NAMESPACE, labelSelector: ISTIOD },
    ...(gateway ? [{ namespace: ROOT_NAMESPACE, labelSelector: "istio=ingressgateway" }] : []),
  ];
}

/** Where a worker leaves what it saw, for the process that reviews the run. A scenario that is repeated may run in two lanes at once. */
export function podsFileOf(
  { plan, lane }: { readonly plan: Pick<SessionPlan, "podsDir">; readonly lane: number },
  id: string,
): string {
  return path.join(plan.podsDir, `${id.replaceAll("/", "__")}.${lane}.json`);
}

async function keep(session: Session, id: string, around: Around): Promise<void> {
  await mkdir(session.plan.podsDir, { recursive: true });
  await writeFile(podsFileOf(session, id), JSON.stringify(around));
}
