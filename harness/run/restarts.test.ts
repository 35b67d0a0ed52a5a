import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { V1ContainerState, V1ContainerStatus, V1Pod } from "@kubernetes/client-node";
import type { Kube } from "../mesh/client.ts";
import type { Disturbance, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { parseManifest } from "../scenario/index.ts";
import { describeDisturbance } from "../../reports/words.ts";
import { chargeLate, disturbed, reviewDeaths } from "./late-deaths.ts";
import { findDisturbances, readPods, type PodsSeen } from "./restarts.ts";
import { runScenario } from "./scenario.ts";
import { fakeSession } from "./session.fixture.ts";
import type { Session } from "./session.ts";

const at = (seconds: number): Date => new Date(Date.UTC(2026, 10, 28, 6, 0, seconds));
const running = (seconds: number): V1ContainerState => ({ running: { startedAt: at(seconds) } });
const ended = (seconds: number, exitCode = 139, signal?: number): V1ContainerState => ({
  terminated: {
    exitCode,
    reason: exitCode === 0 ? "Completed" : "Error",
    ...(signal && { signal }),
    finishedAt: at(seconds),
  },
});

/** A container's status; the id is of its run. */
function status(
  name: string,
  restartCount: number,
  state: V1ContainerState,
  lastState?: V1ContainerState,
): V1ContainerStatus {
  const containerID = state.running ? `containerd://${name}-${restartCount}` : undefined;
  return {
    name,
    restartCount,
    state,
    image: "",
    imageID: "",
    ready: true,
    ...(lastState && { lastState }),
    ...(containerID && { containerID }),
  };
}

interface PodOptions {
  readonly uid?: string;
  readonly owner?: readonly [string, string];
  readonly leaving?: boolean;
  readonly init?: V1ContainerStatus;
  readonly sidecar?: boolean;
  readonly phase?: string;
}

function pod(
  name: string,
  containers: V1ContainerStatus[],
  { uid = name, owner, leaving, init, sidecar, phase }: PodOptions = {},
): V1Pod {
  const [kind, of] = owner ?? ["ReplicaSet", `${name.split("-")[0]}-5d4`];
  return {
    metadata: {
      ...{ name, uid, namespace: "foo", labels: { "pod-template-hash": "5d4" } },
      ownerReferences: [{ apiVersion: "v1", kind, name: of, uid: "", controller: true }],
      ...(leaving && { deletionTimestamp: at(0) }),
    },
    spec: {
      containers: containers.map(({ name }) => ({ name })),
      ...(init && { initContainers: [{ name: init.name, ...(sidecar && { restartPolicy: "Always" }) }] }),
    },
    status: {
      phase: phase ?? "Running",
      containerStatuses: containers,
      ...(init && { initContainerStatuses: [init] }),
    },
  };
}

/** A cluster whose namespace foo has these pods, the next ones at each look and then always the last. */
function clusterOf(...looks: V1Pod[][]): Kube {
  let next = 0;
  const list = ({ namespace }: { namespace: string }): Promise<{ items: V1Pod[] }> =>
    Promise.resolve({ items: namespace === "foo" ? (looks[Math.min(next++, looks.length - 1)] as V1Pod[]) : [] });
  return { core: { listNamespacedPod: list } } as unknown as Kube;
}

const look = (...pods: V1Pod[]): Promise<PodsSeen> => readPods(clusterOf(pods), [{ namespace: "foo" }]);

const scenario = (manifest = ""): Scenario =>
  ({
    ...{ id: "jwt/x", title: "", source: "", level: "core", tags: [], mesh: {} },
    steps: manifest === "" ? [] : [{ apply: [parseManifest(manifest, "a.yaml")], delete: [], checks: [], asked: [] }],
  }) as unknown as Scenario;

async function told(earlier: V1Pod[], later: V1Pod[], manifest?: string): Promise<string[]> {
  return findDisturbances(scenario(manifest), await look(...earlier), await look(...later)).map((one) =>
    describeDisturbance(one),
  );
}

const proxy = status("istio-proxy", 0, running(1));
const app = status("httpbin", 0, running(1));

describe("between two looks", () => {
  it("nothing happened to what is as it was", async () => {
    const quiet = [pod("httpbin-1", [app, proxy]), pod("sleep-1", [status("sleep", 7, running(1), ended(0))])];
    assert.deepEqual(await told(quiet, quiet), []);
  });

  it("a container that runs anew died, and its last state says how", async () => {
    const anew = status("istio-proxy", 1, running(9), ended(8, 139, 11));
    assert.deepEqual(await told([pod("httpbin-1", [app, proxy])], [pod("httpbin-1", [app, anew])]), [
      "the container istio-proxy of foo/httpbin-1 died while the scenario ran (Error, exit code 139, signal 11, at 2026-11-28T06:00:08Z)",
    ]);
  });

  it("a container that does not run any more died, whether it waits or is seen dead, and an exit code of 0 is no excuse", async () => {
    const before = [pod("httpbin-1", [app, proxy])];
    const dead = await told(before, [pod("httpbin-1", [app, status("istio-proxy", 0, ended(8, 0))])]);
    assert.match(dead.join(), /istio-proxy of foo\/httpbin-1 died .*\(Completed, exit code 0, at/);
    const waits = status("istio-proxy", 0, { waiting: { reason: "CrashLoopBackOff" } }, ended(8));
    assert.match((await told(before, [pod("httpbin-1", [app, waits])])).join(), /istio-proxy of .* died .*139/);
  });

  it("another run of the same number is another run (a kubelet that lost count)", async () => {
    const anew = { ...status("istio-proxy", 0, running(9)), containerID: "containerd://other" };
    assert.match(
      (await told([pod("httpbin-1", [proxy])], [pod("httpbin-1", [anew])])).join(),
      /died while the scenario ran \(its last state is not known\)/,
    );
  });

  it("an init container ends as it should, and one that is a sidecar must not", async () => {
    const [begun, over] = [status("istio-init", 0, running(1)), status("istio-init", 0, ended(2, 0))];
    assert.deepEqual(await told([pod("a-1", [app], { init: begun })], [pod("a-1", [app], { init: over })]), []);
    const sidecar = { sidecar: true };
    const died = await told(
      [pod("a-1", [app], { init: begun, ...sidecar })],
      [pod("a-1", [app], { init: over, ...sidecar })],
    );
    assert.match(died.join(), /container istio-init of foo\/a-1 died/);
  });

  it("a pod that was replaced by another one is reported", async () => {
    assert.deepEqual(await told([pod("httpbin-1", [app])], [pod("httpbin-2", [app])]), [
      "the pod foo/httpbin-1 was deleted, evicted or replaced while the scenario ran, and not by it",
      "the pod foo/httpbin-2 came while the scenario ran, and not by it",
    ]);
    assert.match((await told([pod("a-1", [app])], [pod("a-1", [app], { leaving: true })])).join(), /a-1 was deleted/);
    assert.match((await told([pod("a-1", [app])], [pod("a-1", [app], { uid: "other" })])).join(), /a-1 was deleted/);
    assert.match((await told([pod("a-1", [app])], [pod("a-1", [], { phase: "Failed" })])).join(), /evicted/);
  });

  it("another user's pod that is not like the judging ones is ignored", async () => {
    const other = pod("debug", [app], { owner: ["Job", "debug"] });
    assert.deepEqual(await told([pod("httpbin-1", [app])], [pod("httpbin-1", [app]), other]), []);
    const leaving = pod("httpbin-0", [app], { leaving: true });
    assert.deepEqual(await told([pod("httpbin-1", [app]), leaving], [pod("httpbin-1", [app])]), []);
  });

  it("a scenario may replace pods of its own, but they must not die", async () => {
    const own = 'apiVersion: apps/v1\nkind: Deployment\nmetadata: { name: httpbin, namespace: "${ns}" }\n';
    assert.deepEqual(await told([pod("httpbin-1", [app])], [pod("httpbin-2", [app])], own), []);
    const going = pod("httpbin-1", [status("httpbin", 0, ended(5, 0))], { leaving: true });
    assert.deepEqual(await told([pod("httpbin-1", [app])], [going], own), []);
    const crashing = pod("httpbin-2", [status("httpbin", 1, running(9), ended(8, 1))]);
    assert.match((await told([pod("httpbin-1", [app])], [crashing], own)).join(), /httpbin-2 died .*exit code 1/);
  });
});

const result = (id: string, more: Partial<ScenarioResult> = {}): ScenarioResult =>
  ({ id, status: "passed", steps: [], ...more }) as unknown as ScenarioResult;

describe("a death that was published late", () => {
  const quiet = pod("httpbin-1", [proxy]);
  const restarted = (seconds: number): V1Pod =>
    pod("httpbin-1", [status("istio-proxy", 1, running(seconds + 1), ended(seconds))]);
  const seen = async (seconds: number, one: V1Pod): Promise<PodsSeen> => ({
    ...(await look(one)),
    at: at(seconds).getTime(),
  });

  /** Three scenarios of ten seconds each, one after the other; how they are charged with a death that is first seen at a look (0 to 5, 6 at the end). */
  async function charge(diedAt: number, firstSeen: number, clockOff = 0): Promise<string[]> {
    const lists = await Promise.all(
      [0, 10, 10, 20, 20, 30, 33].map((seconds, index) =>
        seen(seconds, index < firstSeen ? quiet : restarted(diedAt + clockOff)),
      ),
    );
    const around = new Map(
      ["a", "b", "c"].map((id, n) => [
        id,
        { before: { ...lists[2 * n]!, at: lists[2 * n]!.at + n }, after: lists[2 * n + 1]! },
      ]),
    );
    const charged = chargeLate([result("a"), result("b"), result("c")], around, lists[6]);
    return charged.filter(({ status: now }) => now === "error").map(({ id }) => id);
  }

  it("is charged to what ran when it happened", async () => {
    assert.deepEqual(await charge(5, 2), ["a"]);
    assert.deepEqual(await charge(8, 3), ["a"]);
    assert.deepEqual(await charge(15, 4), ["b"]);
    assert.deepEqual(await charge(27, 6), ["c"]);
  });

  it("within the second between two scenarios is charged to both", async () => {
    assert.deepEqual(await charge(10, 2), ["a", "b"]);
    assert.deepEqual(await charge(20, 5), ["b", "c"]);
  });

  it("after all of them is charged to none", async () => {
    assert.deepEqual(await charge(31, 6), []);
  });

  it("with a clock that is off is charged to all that may have run", async () => {
    assert.deepEqual(await charge(8, 3, 86_400), ["a", "b"]);
    assert.deepEqual(await charge(8, 3, -86_400), ["a", "b"]);
  });

  it("is charged to its own lane, and to all lanes where they share what died", async () => {
    const before = at(0).getTime();
    const after = at(10).getTime();
    const shared = pod("istiod-1", [proxy]);
    const own = pod("httpbin-2", [proxy]);
    const [one, two] = [await look(quiet, shared), await look(own, shared)];
    const around = new Map([
      ["a", { before: { ...one, at: before }, after: { ...one, at: after } }],
      ["b", { lane: 2, before: { ...two, at: before + 1 }, after: { ...two, at: after + 1 } }],
    ]);
    const died = status("istio-proxy", 1, running(9), ended(8));
    const charge = async (...last: V1Pod[]): Promise<string[]> =>
      chargeLate([result("a"), result("b")], around, { ...(await look(...last)), at: after + 500 })
        .filter((charged) => charged.status === "error")
        .map(({ id }) => id);
    assert.deepEqual(await charge(quiet, pod("httpbin-2", [died]), shared), ["b"]);
    assert.deepEqual(await charge(pod("httpbin-1", [died]), own, shared), ["a"]);
    assert.deepEqual(await charge(quiet, own, pod("istiod-1", [died])), ["a", "b"]);
    assert.deepEqual(await charge(quiet, own, shared), []);
  });

  it("is not reported twice, and does not hide an earlier error", async () => {
    const before = await seen(0, quiet);
    const later = await seen(10, restarted(5));
    const around = new Map([["a", { before, after: later }]]);
    const known = disturbed(
      result("a", { status: "error", findings: [{ kind: "error", error: { message: "it could not be" } }] }),
      findDisturbances(scenario(), before, later),
    );
    assert.equal(known.disturbances?.length, 1);
    assert.match(known.reason ?? "", /^it could not be; the container istio-proxy of foo\/httpbin-1 died/);
    assert.deepEqual(chargeLate([known], around, await seen(12, restarted(5))), [known]);
  });
});

describe("a scenario during which a container died", () => {
  let podsDir: string;
  before(async () => {
    podsDir = await mkdtemp(path.join(tmpdir(), "meshproof-pods-"));
  });
  after(() => rm(podsDir, { recursive: true }));

  const session = (kube: Kube): Session => {
    const fake = fakeSession({ kube });
    return { ...fake, plan: { ...fake.plan, podsDir, runId: "1", diagnosticsDir: podsDir } };
  };
  const quiet = [pod("httpbin-1", [proxy])];
  const dead = [pod("httpbin-1", [status("istio-proxy", 1, running(9), ended(8, 139, 11))])];

  it("is in error, with the container's last state as data and as the reason", async () => {
    const found = await runScenario(session(clusterOf(quiet, dead)), scenario());
    assert.equal(found.status, "error");
    assert.match(
      found.reason ?? "",
      /the container istio-proxy of foo\/httpbin-1 died while the scenario ran \(Error, exit code 139/,
    );
    assert.deepEqual(found.disturbances, [
      {
        ...{ kind: "died", namespace: "foo", pod: "httpbin-1", container: "istio-proxy" },
        last: { reason: "Error", exitCode: 139, signal: 11, finishedAt: "2026-11-28T06:00:08Z" },
      } satisfies Disturbance,
    ]);
  });

  it("is in error where that cannot be known", async () => {
    const kube = { core: { listNamespacedPod: () => Promise.reject(new Error("connection refused")) } };
    const found = await runScenario(session(kube as unknown as Kube), scenario());
    assert.equal(found.status, "error");
    assert.match(found.reason ?? "", /connection refused/);
  });

  it("is in error where the pods cannot be read after it", async () => {
    const found = await runScenario(session(clusterOf(quiet)), scenario());
    const gone = { core: { listNamespacedPod: () => Promise.reject(new Error("connection refused")) } };
    const [reviewed] = await reviewDeaths(session(gone as unknown as Kube), [scenario()], [found]);
    assert.equal(reviewed?.status, "error");
    assert.match(reviewed?.reason ?? "", /^whether a container died while it ran is not known: connection refused$/);
  });

  it("is passed without an event, and in error if the kubelet reports one later", async () => {
    const kube = clusterOf(quiet, quiet, dead);
    const found = await runScenario(session(kube), scenario());
    assert.deepEqual([found.status, found.disturbances], ["passed", undefined]);
    // The test's death happened by a clock that is off.
    const [reviewed] = await reviewDeaths(session(kube), [scenario()], [found]);
    assert.equal(reviewed?.status, "error");
  });
});
