import assert from "node:assert/strict";
import { test } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { type ContainerRecord, phaseOf, podStatus, type TerminatedState } from "./status.ts";

const NOW = "2026-01-01T00:00:09Z";
const RUNNING = { kind: "running", startedAt: "2026-01-01T00:00:01Z" } as const;
const WAITING = { kind: "waiting", reason: "PodInitializing" } as const;

function ended(exitCode: number): TerminatedState {
  return {
    kind: "terminated",
    exitCode,
    reason: exitCode === 0 ? "Completed" : "Error",
    startedAt: "2026-01-01T00:00:01Z",
    finishedAt: "2026-01-01T00:00:02Z",
    containerID: "meshproof://x",
  };
}

function record(name: string, kind: ContainerRecord["kind"], more: Partial<ContainerRecord> = {}): ContainerRecord {
  return {
    name,
    kind,
    image: "i",
    state: WAITING,
    lastState: undefined,
    restartCount: 0,
    started: false,
    startedOnce: false,
    ready: false,
    imageID: "",
    containerID: "",
    finished: false,
    ...more,
  };
}

const up = { state: RUNNING, started: true, startedOnce: true, ready: true };
const over = (code: number): Partial<ContainerRecord> => ({ state: ended(code), finished: true });

function podWith(restartPolicy: string, more: Partial<V1Pod> = {}): V1Pod {
  return { metadata: { generation: 4 }, spec: { restartPolicy, containers: [] }, ...more };
}

function statusOf(pod: V1Pod, records: ContainerRecord[]): ReturnType<typeof podStatus> {
  return podStatus(
    pod,
    { records, podIp: "10.244.0.2", hostIp: "10.244.0.1", sandboxReady: true, startTime: NOW, stopped: false },
    NOW,
  );
}

function conditionsOf(status: ReturnType<typeof podStatus>): Record<string, string> {
  return Object.fromEntries(
    (status.conditions ?? []).map(({ type, status: value, reason }) => [type, reason ? `${value} ${reason}` : value]),
  );
}

test("the phase follows containers and restart policy", () => {
  const cases: [string, ContainerRecord[], string, string][] = [
    ["init container runs", [record("i", "init", { state: RUNNING }), record("a", "app")], "Always", "Pending"],
    ["init container failed for good", [record("i", "init", over(1)), record("a", "app")], "Never", "Failed"],
    [
      "init container failed, comes again",
      [record("i", "init", { state: ended(1) }), record("a", "app")],
      "Always",
      "Pending",
    ],
    ["sidecar not started yet", [record("s", "sidecar", { state: RUNNING }), record("a", "app")], "Always", "Pending"],
    ["all run", [record("s", "sidecar", up), record("a", "app", up)], "Always", "Running"],
    ["one of two not created yet", [record("a", "app", up), record("b", "app")], "Always", "Pending"],
    ["in a crash loop", [record("a", "app", { state: WAITING, lastState: ended(1) })], "Always", "Running"],
    ["exited, will be restarted", [record("a", "app", { state: ended(0) })], "Always", "Running"],
    ["job done, sidecar still up", [record("s", "sidecar", up), record("a", "app", over(0))], "Never", "Succeeded"],
    ["one of two jobs failed", [record("a", "app", over(0)), record("b", "app", over(2))], "Never", "Failed"],
    ["one of two jobs runs", [record("a", "app", over(0)), record("b", "app", up)], "OnFailure", "Running"],
  ];
  for (const [name, records, policy, expected] of cases)
    assert.equal(phaseOf(podWith(policy), { records, stopped: false }), expected, name);
  assert.equal(phaseOf(podWith("Always"), { records: [record("a", "app", over(0))], stopped: true }), "Succeeded");
});

test("a pod is Ready once its sidecars and containers are", () => {
  const pending = statusOf(podWith("Always"), [record("i", "init"), record("s", "sidecar"), record("a", "app")]);
  assert.deepEqual(conditionsOf(pending), {
    PodReadyToStartContainers: "True",
    Initialized: "False ContainersNotInitialized",
    ContainersReady: "False ContainersNotReady",
    Ready: "False ContainersNotReady",
    PodScheduled: "True",
  });
  const running = [record("i", "init", over(0)), record("s", "sidecar", up), record("a", "app", up)];
  assert.equal(conditionsOf(statusOf(podWith("Always"), running))["Ready"], "True");
  running[1] = record("s", "sidecar", { ...up, ready: false });
  const unready = statusOf(podWith("Always"), running);
  assert.equal(conditionsOf(unready)["Ready"], "False ContainersNotReady");
  assert.match(unready.conditions?.find(({ type }) => type === "Ready")?.message ?? "", /\[s\]/);
  assert.deepEqual(
    unready.initContainerStatuses?.map(({ name, ready }) => [name, ready]),
    [
      ["i", true],
      ["s", false],
    ],
  );
});

test("readiness gates of others hold the pod back", () => {
  const spec = { containers: [], readinessGates: [{ conditionType: "example.com/lb" }] };
  const records = [record("a", "app", up)];
  const gated = statusOf({ metadata: {}, spec }, records);
  assert.equal(conditionsOf(gated)["ContainersReady"], "True");
  assert.equal(conditionsOf(gated)["Ready"], "False ReadinessGatesNotReady");
  const open = { metadata: {}, spec, status: { conditions: [{ type: "example.com/lb", status: "True" }] } };
  assert.equal(conditionsOf(statusOf(open, records))["Ready"], "True");
  assert.equal(conditionsOf(statusOf(open, records))["example.com/lb"], undefined);
});

test("a condition keeps its transition time until its status changes", () => {
  const before = "2026-01-01T00:00:01Z" as never;
  const pod = podWith("Always", {
    status: {
      conditions: [
        { type: "Ready", status: "False", lastTransitionTime: before },
        { type: "Initialized", status: "True", lastTransitionTime: before },
      ],
    },
  });
  const times = Object.fromEntries(
    (statusOf(pod, [record("a", "app", up)]).conditions ?? []).map((c) => [c.type, c.lastTransitionTime]),
  );
  assert.equal(times["Initialized"], before);
  assert.equal(times["Ready"], NOW);
});

test("states and restarts have the API's format", () => {
  const crash = record("a", "app", { state: WAITING, lastState: ended(3), restartCount: 2 });
  const [status] = statusOf(podWith("Always"), [crash]).containerStatuses ?? [];
  assert.deepEqual(status?.state, { waiting: { reason: "PodInitializing" } });
  assert.equal(status?.lastState?.terminated?.exitCode, 3);
  assert.equal(status?.restartCount, 2);
});
