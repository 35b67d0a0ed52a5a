/** What became of the pods while something was judged: an answer from beside a crash proves nothing. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import { messageOf, type Kube } from "../mesh/client.ts";
import { sentences } from "../../reports/words.ts";
import { inLanes } from "../lanes.ts";
import type { ScenarioFinding } from "../model/finding.ts";
import type { Disturbance, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import type { SessionPlan } from "./plan.ts";
import { ROOT_NAMESPACE } from "./places.ts";
import type { Session } from "./session.ts";

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

/** A pod that has run to its end (of a Job) is nobody's judge. */
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
  // What is told to end does not die.
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
  return new Set(made.filter(({ kind }) => MAKERS.has(kind)).map(({ kind, metadata }) => `${kind} ${metadata.name}`));
}

/** What disturbed a scenario: each container that died, and pods that others than the scenario itself replaced. */
export function findDisturbances(scenario: Scenario, before: PodsSeen, after: PodsSeen): Disturbance[] {
  const own = makersOf(scenario);
  const replaced = findReplaced(before, after).filter(({ owner, pod }) => !own.has(owner ?? `Pod ${pod}`));
  return [...findDeaths(before, after), ...replaced.map(({ owner: _, ...disturbance }) => disturbance)];
}

/** What was seen around a scenario. */
export interface Around {
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
  const selections = selectionsOf(session, [scenario]);
  const look = (): Promise<PodsSeen> => readPods(session.kube, selections);
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
      await keep(session.plan, scenario.id, { before, after });
      const found = lists.slice(1).flatMap((list, index) => findDisturbances(scenario, lists[index] as PodsSeen, list));
      return [...new Map(found.map((one) => [JSON.stringify(one), one])).values()];
    },
  };
}

function selectionsOf({ handle }: Session, scenarios: readonly Scenario[]): PodSelection[] {
  const gateway = scenarios.some(({ steps }) =>
    steps.some(({ checks }) => checks.some(({ request }) => request.to === "ingress")),
  );
  return [
    { namespace: handle.namespace },
    { namespace: handle.outsideNamespace },
    { namespace: ROOT_NAMESPACE, labelSelector: "app=istiod" },
    ...(gateway ? [{ namespace: ROOT_NAMESPACE, labelSelector: "istio=ingressgateway" }] : []),
  ];
}

/** Where a worker leaves what it saw, for the process that reviews the run. */
export function podsFileOf({ podsDir }: Pick<SessionPlan, "podsDir">, id: string): string {
  return path.join(podsDir, `${id.replaceAll("/", "__")}.json`);
}

async function keep(plan: SessionPlan, id: string, around: Around): Promise<void> {
  await mkdir(plan.podsDir, { recursive: true });
  await writeFile(podsFileOf(plan, id), JSON.stringify(around));
}

/** The pods after all scenarios; what kept them from being read. */
export type LastSeen = { readonly pods: PodsSeen } | { readonly unread: string };

/** Looks at the pods once more after all scenarios, when deaths of the last moments have been published. Never throws. */
export async function lookLast(session: Session, scenarios: readonly Scenario[]): Promise<LastSeen> {
  // The kubelet of the embedded cluster writes a death at once; a program that was hit still needs a moment to end.
  const published = session.handle.kind === "embedded" ? 500 : PUBLISHED_MS;
  const seen = await readAround(session.plan, scenarios);
  const ended = Math.max(0, ...[...seen.values()].map(({ after }) => after.at));
  // eslint-disable-next-line no-restricted-syntax -- when another process saw it
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, ended + published - Date.now())));
  try {
    return { pods: await readPods(session.kube, selectionsOf(session, scenarios)) };
  } catch (error) {
    return { unread: messageOf(error) };
  }
}

export async function readAround(
  plan: Pick<SessionPlan, "podsDir">,
  ran: readonly { readonly id: string }[],
): Promise<Map<string, Around>> {
  const seen = await inLanes(ran, async ({ id }): Promise<[string, Around][]> => {
    // A scenario that did not come to its end left nothing, and is in error already.
    const text = await readFile(podsFileOf(plan, id), "utf8").catch(() => undefined);
    return text === undefined ? [] : [[id, JSON.parse(text) as Around]];
  });
  return new Map(seen.flat());
}

/** {@link lookLast} and {@link chargeDeaths} in one, where one process does all. */
export async function reviewDeaths(
  session: Session,
  scenarios: readonly Scenario[],
  results: readonly ScenarioResult[],
): Promise<ScenarioResult[]> {
  const around = await readAround(session.plan, results);
  return around.size === 0 ? [...results] : chargeDeaths(results, around, await lookLast(session, scenarios));
}

/**
 * Charges each death that was published late to what ran when it happened. Where the pods could not be read any more, the
 * scenarios of the last moments are in error.
 */
export function chargeDeaths(
  results: readonly ScenarioResult[],
  around: ReadonlyMap<string, Around>,
  last: LastSeen,
): ScenarioResult[] {
  if ("pods" in last) return chargeLate(results, around, last.pods);
  const ended = Math.max(...[...around.values()].map(({ after }) => after.at));
  const finding: ScenarioFinding = { kind: "deaths-not-known", error: last.unread };
  return chargeLate(results, around).map((result) => {
    const recent = (around.get(result.id)?.after.at ?? 0) > ended - PUBLISHED_MS;
    return recent ? inError(result, [finding]) : result;
  });
}

/**
 * A kubelet needs a moment to publish that a container died: a scenario that has ended meanwhile was passed, and the death is
 * seen around a later one, or not before the end of the run. By the time of its end it belongs to whatever ran then.
 * @param seen what was seen around each scenario, by id
 * @param last the pods after all of them, where they could be read
 */
export function chargeLate(
  results: readonly ScenarioResult[],
  seen: ReadonlyMap<string, Around>,
  last?: PodsSeen,
): ScenarioResult[] {
  const inOrder = [...seen.values()].sort((a, b) => a.before.at - b.before.at);
  const lists = [...inOrder.flatMap(({ before, after }) => [before, after]), ...(last ? [last] : [])];
  const deaths = lists.slice(1).flatMap((list, index) => {
    const earlier = lists[index] as PodsSeen;
    // A pod that came between two scenarios (a mesh setting) is not compared with nothing.
    const same = { at: list.at, pods: list.pods.filter(({ uid }) => earlier.pods.some((pod) => pod.uid === uid)) };
    return findDeaths(earlier, same).map((death) => ({ death, window: windowOf(death, earlier.at, list.at) }));
  });
  return results.map((result) => {
    const around = seen.get(result.id);
    if (around === undefined) return result;
    const late = deaths
      .filter(({ window: [from, to] }) => from <= around.after.at && to >= around.before.at)
      .map(({ death }) => death)
      .filter((death) => !result.disturbances?.some((known) => JSON.stringify(known) === JSON.stringify(death)));
    return late.length === 0 ? result : disturbed(result, late);
  });
}

/** How long a kubelet may take to publish a death: it looks once a second (PLEG), and then writes. */
export const PUBLISHED_MS = 3_000;

/** When a container died at the earliest and at the latest. Its own time is of whole seconds, by the clock of its node. */
function windowOf({ last }: Disturbance, from: number, to: number): [number, number] {
  const finished = Date.parse(last?.finishedAt ?? "");
  // A clock that is off says nothing.
  if (Number.isNaN(finished) || finished > to + 1000 || finished < from - 10 * PUBLISHED_MS)
    return [from - PUBLISHED_MS, to];
  return [finished, Math.min(finished + 1000, to)];
}

/** The result as it is where something disturbed it: in error, whatever the answers are. */
export function disturbed(result: ScenarioResult, found: readonly Disturbance[]): ScenarioResult {
  if (found.length === 0) return result;
  return {
    ...inError(
      result,
      found.map((disturbance) => ({ kind: "disturbance", disturbance })),
    ),
    disturbances: [...(result.disturbances ?? []), ...found],
  };
}

/** What a scenario in error is told already comes first. */
function inError(result: ScenarioResult, more: readonly ScenarioFinding[]): ScenarioResult {
  const findings = [...(result.status === "error" ? (result.findings ?? []) : []), ...more];
  return { ...result, status: "error", findings, reason: sentences(findings) };
}
