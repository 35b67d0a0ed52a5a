import type { V1ContainerState, V1ContainerStatus, V1Pod, V1PodCondition, V1PodStatus } from "@kubernetes/client-node";

/** The kubelet's state of one container, besides its spec. */
export interface ContainerRecord {
  readonly name: string;
  /** `sidecar`: an init container with `restartPolicy: Always`. */
  readonly kind: "init" | "sidecar" | "app";
  readonly image: string;
  state: ContainerState;
  lastState: TerminatedState | undefined;
  restartCount: number;
  /** Its startup probe succeeded, or it has none and runs (and its postStart hook is through). */
  started: boolean;
  /** Was `started` in this or an earlier run. */
  startedOnce: boolean;
  ready: boolean;
  imageID: string;
  containerID: string;
  /** Whether it will not be started again. */
  finished: boolean;
}

export type ContainerState =
  | { readonly kind: "waiting"; readonly reason: string; readonly message?: string }
  | { readonly kind: "running"; readonly startedAt: string }
  | TerminatedState;

export interface TerminatedState {
  readonly kind: "terminated";
  readonly exitCode: number;
  readonly signal?: number;
  readonly reason: string;
  readonly message?: string;
  readonly startedAt: string | undefined;
  readonly finishedAt: string;
  readonly containerID: string;
}

export interface PodFactsForStatus {
  readonly records: readonly ContainerRecord[];
  readonly podIp: string | undefined;
  readonly hostIp: string;
  /** Whether network namespace and volumes exist. */
  readonly sandboxReady: boolean;
  readonly startTime: string;
  /** The pod as a whole was ended by the kubelet, for example `DeadlineExceeded`. */
  readonly ended?: { readonly reason: string; readonly message: string };
  /** Whether the kubelet stopped the whole pod for good: its phase may become final under any restart policy. */
  readonly stopped: boolean;
}

/**
 * A pod's status as the kubelet publishes it.
 * @param pod its conditions are the ones last published: a condition that does not change keeps its lastTransitionTime,
 *   and those of other owners (readiness gates) are read but not written
 * @param now RFC 3339
 */
export function podStatus(pod: V1Pod, facts: PodFactsForStatus, now: string): V1PodStatus {
  const { records } = facts;
  const phase = phaseOf(pod, facts);
  const statuses = records.map(containerStatus);
  const of = (...kinds: ContainerRecord["kind"][]): V1ContainerStatus[] =>
    statuses.filter((_, index) => kinds.includes(records[index]!.kind));
  const initStatuses = of("init", "sidecar");
  return {
    phase,
    ...(facts.ended ? { reason: facts.ended.reason, message: facts.ended.message } : {}),
    observedGeneration: pod.metadata?.generation,
    conditions: conditionsOf(pod, facts, phase, now),
    hostIP: facts.hostIp,
    hostIPs: [{ ip: facts.hostIp }],
    ...(facts.podIp ? { podIP: facts.podIp, podIPs: [{ ip: facts.podIp }] } : {}),
    startTime: facts.startTime as never,
    ...(initStatuses.length ? { initContainerStatuses: initStatuses } : {}),
    containerStatuses: of("app"),
    qosClass: pod.status?.qosClass,
  };
}

/** The phase, by the rules of the kubelet's getPhase. */
export function phaseOf(pod: V1Pod, facts: Pick<PodFactsForStatus, "records" | "ended" | "stopped">): string {
  if (facts.ended) return "Failed";
  const apps = facts.records.filter(({ kind }) => kind === "app");
  const inits = facts.records.filter(({ kind }) => kind === "init");
  const policy = pod.spec?.restartPolicy ?? "Always";
  const over = (record: ContainerRecord): boolean => record.finished && record.state.kind === "terminated";
  const failed = (record: ContainerRecord): boolean =>
    record.state.kind === "terminated" && record.state.exitCode !== 0;

  if (inits.some((record) => over(record) && failed(record))) return "Failed";
  // A container that ran before and waits for its restart still counts as running.
  const begun = apps.filter((record) => record.state.kind !== "waiting" || record.lastState);
  if (!initialized(facts.records) || begun.length < apps.length) return facts.stopped ? "Failed" : "Pending";
  if (apps.every(over) && (policy !== "Always" || facts.stopped)) return apps.some(failed) ? "Failed" : "Succeeded";
  return "Running";
}

/** Whether every init container is done: it succeeded, or a sidecar started once. */
export function initialized(records: readonly ContainerRecord[]): boolean {
  return records.every(
    (record) =>
      record.kind === "app" ||
      (record.kind === "sidecar"
        ? record.startedOnce
        : record.state.kind === "terminated" && record.state.exitCode === 0),
  );
}

function conditionsOf(pod: V1Pod, facts: PodFactsForStatus, phase: string, now: string): V1PodCondition[] {
  const { records } = facts;
  const conditions = new Map<string, Omit<V1PodCondition, "type">>();
  conditions.set("PodReadyToStartContainers", { status: facts.sandboxReady ? "True" : "False" });

  const waiting = records.filter((r) => r.kind !== "app" && !initialized([r])).map((r) => r.name);
  conditions.set(
    "Initialized",
    waiting.length
      ? {
          status: "False",
          reason: "ContainersNotInitialized",
          message: `containers with incomplete status: [${waiting.join(" ")}]`,
        }
      : { status: "True", ...(phase === "Succeeded" ? { reason: "PodCompleted" } : {}) },
  );

  const unready = records.filter((r) => r.kind !== "init" && !r.ready).map((r) => r.name);
  const containersReady: Omit<V1PodCondition, "type"> =
    phase === "Succeeded"
      ? { status: "False", reason: "PodCompleted" }
      : phase === "Failed"
        ? { status: "False", reason: "PodFailed" }
        : unready.length || waiting.length
          ? {
              status: "False",
              reason: "ContainersNotReady",
              message: `containers with unready status: [${unready.join(" ")}]`,
            }
          : { status: "True" };
  conditions.set("ContainersReady", containersReady);

  const gates = (pod.spec?.readinessGates ?? [])
    .map(({ conditionType }) => conditionType)
    .filter((type) => pod.status?.conditions?.find((c) => c.type === type)?.status !== "True");
  conditions.set(
    "Ready",
    containersReady.status === "True" && gates.length
      ? {
          status: "False",
          reason: "ReadinessGatesNotReady",
          message: gates.map((type) => `the status of pod readiness gate "${type}" is not "True"`).join(", "),
        }
      : containersReady,
  );
  conditions.set("PodScheduled", { status: "True" });

  return [...conditions].map(([type, condition]) => {
    const old = pod.status?.conditions?.find((c) => c.type === type);
    return {
      type,
      reason: null,
      message: null,
      ...condition,
      observedGeneration: pod.metadata?.generation,
      lastProbeTime: null,
      lastTransitionTime: old?.status === condition.status ? (old.lastTransitionTime ?? now) : now,
    } as unknown as V1PodCondition;
  });
}

function containerStatus(record: ContainerRecord): V1ContainerStatus {
  return {
    name: record.name,
    image: record.image,
    imageID: record.imageID,
    ...(record.containerID ? { containerID: record.containerID } : {}),
    ready: record.kind === "init" ? record.state.kind === "terminated" && record.state.exitCode === 0 : record.ready,
    started: record.started,
    restartCount: record.restartCount,
    state: apiState(record.state),
    lastState: record.lastState ? apiState(record.lastState) : {},
  };
}

function apiState(state: ContainerState): V1ContainerState {
  const { kind, ...fields } = state;
  return { [kind]: fields };
}
