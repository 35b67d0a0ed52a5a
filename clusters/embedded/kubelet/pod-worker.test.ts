import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { V1Container, V1Pod, V1PodSpec, V1PodStatus } from "@kubernetes/client-node";
import type { Image } from "./image.ts";
import { PodWorker, type PodDependencies } from "./pod-worker.ts";
import type { Exit, Runtime } from "./runtime.ts";

const IMAGE: Omit<Image, "name" | "entrypoint"> = {
  ...{ digest: "sha256:1", layers: [], binds: [], cmd: [], env: {}, user: 0, workingDir: "/" },
};

describe("a pod's life", { timeout: 30_000 }, () => {
  let runDir: string;
  /** What happened, in order: containers, signals, requests to the API, the pod's namespaces. */
  let done: string[];
  let events: string[];
  let status: V1PodStatus;
  /** Ends the running process of a container. */
  let exits: Map<string, (exit: Exit) => void>;
  /** What making the namespaces throws, the first first. */
  let refusals: Error[];
  let ignoresTerm: Set<string>;
  let wake: () => void;

  beforeEach(() => {
    runDir = mkdtempSync(path.join(tmpdir(), "meshproof-pod-"));
    [done, events, status, exits, refusals, ignoresTerm] = [[], [], {}, new Map(), [], new Set()];
    wake = () => undefined;
  });
  afterEach(() => rmSync(runDir, { recursive: true }));

  const happens = (what: string): void => {
    done.push(what);
    wake();
  };
  /** Waits until something that happened made it so. */
  const until = async (what: () => boolean): Promise<void> => {
    while (!what()) await new Promise<void>((resolve) => (wake = resolve));
  };

  const runtime = {
    capabilities: new Set<string>(),
    passwdOf: () => "",
    async start({ command: [name = ""] }: Parameters<Runtime["start"]>[0]) {
      const exited = Promise.withResolvers<Exit>();
      let running = true;
      const exit = (how: Exit): void => {
        running = false;
        exited.resolve(how);
      };
      exits.set(name, exit);
      happens(`start ${name}`);
      return {
        ...{ pid: 1, startedAt: new Date(0), exited: exited.promise, stdin: undefined },
        signal(signal: "SIGTERM" | "SIGKILL") {
          if (!running) return;
          happens(`${signal} ${name}`);
          if (signal === "SIGKILL") exit({ code: 137, signal: 9 });
          else if (!ignoresTerm.has(name)) exit({ code: 0, signal: 0 });
        },
        enter: (command: readonly string[]) => command as [string, ...string[]],
      };
    },
  } as unknown as Runtime;

  const dependencies = (): PodDependencies =>
    ({
      ...{ runtime, runDir, services: () => [], serviceHost: "10.96.0.1", catalogueText: "", nodeResolvConf: "" },
      dns: { server: "10.96.0.10", domain: "cluster.local" },
      node: { hostIp: "10.0.0.1", nodeName: "node", allocatable: {} },
      resolveImage: (name: string): Image => ({ ...IMAGE, name, entrypoint: [name] }),
      log: (line: string) => happens(`log ${line}`),
      events: {
        emit: (_pod: V1Pod, _type: string, reason: string) => void events.push(reason),
        forget: () => undefined,
      },
      objects: { fetch: () => Promise.resolve(), get: () => undefined },
      network: {
        createSandbox() {
          const refusal = refusals.shift();
          if (refusal !== undefined) return Promise.reject(refusal);
          happens("make namespaces");
          const remove = (): Promise<void> => Promise.resolve(happens("remove namespaces"));
          return Promise.resolve({ ip: "10.244.0.2", shmDir: "", enter: (command: unknown) => command, remove });
        },
      },
      api: {
        patch: (_path: string, body: { status: V1PodStatus }) => Promise.resolve(((status = body.status), wake())),
        remove: (url: string, { preconditions }: { preconditions: { uid: string } }) =>
          Promise.resolve(happens(`delete ${url} ${preconditions.uid}`)),
      },
    }) as unknown as PodDependencies;

  const podOf = (spec: Partial<V1PodSpec> = {}, more: Partial<V1Pod> = {}): V1Pod => ({
    metadata: { name: "p", namespace: "foo", uid: "u" },
    spec: { containers: [container("app")], ...spec },
    ...more,
  });
  const container = (name: string, more: Partial<V1Container> = {}): V1Container => ({ name, image: name, ...more });
  const sidecar = (name: string): V1Container => container(name, { restartPolicy: "Always" });
  const start = (pod: V1Pod): PodWorker => new PodWorker(pod, dependencies());
  const deleted = (pod: V1Pod, seconds = 30): V1Pod => ({
    ...pod,
    metadata: { ...pod.metadata, deletionTimestamp: new Date(0), deletionGracePeriodSeconds: seconds },
  });
  /** Deletes a pod as the API server does, and waits for its end. */
  const remove = async (worker: PodWorker, seconds?: number): Promise<void> => {
    worker.update(deleted(worker.pod, seconds));
    await worker.done;
  };
  const since = (mark: number): string[] => done.slice(mark);

  it("begins with its namespaces, then one init container after the other, then the others", async () => {
    const pod = podOf({
      initContainers: [container("first"), sidecar("proxy"), container("second")],
      containers: [container("app"), container("helper")],
    });
    const worker = start(pod);
    await until(() => exits.has("first"));
    assert.deepEqual(done, ["make namespaces", "start first"]);
    assert.equal(worker.sandbox?.ip, "10.244.0.2");
    exits.get("first")!({ code: 0, signal: 0 });
    await until(() => exits.has("second"));
    assert.deepEqual(done.slice(2), ["start proxy", "start second"]);
    exits.get("second")!({ code: 0, signal: 0 });
    await until(() => status.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true);
    assert.deepEqual(done.slice(4), ["start app", "start helper"]);
    assert.deepEqual([status.phase, status.podIP], ["Running", "10.244.0.2"]);
    await remove(worker);
  });

  it("does not go on after an init container that failed for good", async () => {
    const worker = start(podOf({ restartPolicy: "Never", initContainers: [container("first")] }));
    await until(() => exits.has("first"));
    exits.get("first")!({ code: 3, signal: 0 });
    await until(() => done.includes("remove namespaces"));
    assert.deepEqual([status.phase, exits.has("app"), worker.sandbox], ["Failed", false, undefined]);
    await remove(worker);
  });

  it("ends with a SIGTERM to the containers, then to the sidecars, the last one first, and with its object", async () => {
    const worker = start(podOf({ initContainers: [sidecar("one"), sidecar("two")] }));
    await until(() => exits.has("app"));
    assert.deepEqual(readdirSync(path.join(runDir, "pods")), ["u"]);
    const mark = done.length;
    await remove(worker);
    assert.deepEqual(since(mark), [
      "SIGTERM app",
      "SIGTERM two",
      "SIGTERM one",
      "remove namespaces",
      "delete /api/v1/namespaces/foo/pods/p u",
    ]);
    assert.ok(!existsSync(path.join(runDir, "pods/u")) && !existsSync(path.join(runDir, "logs/u")));
  });

  it("keeps its sidecars until the last container has ended", async () => {
    ignoresTerm.add("app");
    const worker = start(podOf({ initContainers: [sidecar("proxy")] }));
    await until(() => exits.has("app"));
    worker.update(deleted(worker.pod, 600));
    await until(() => done.includes("SIGTERM app"));
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(!done.includes("SIGTERM proxy"));
    exits.get("app")!({ code: 0, signal: 0 });
    await worker.done;
    assert.ok(done.includes("SIGTERM proxy"));
  });

  it("is killed when its grace period is over, and a second deletion shortens it", async () => {
    ignoresTerm.add("app");
    const worker = start(podOf());
    await until(() => exits.has("app"));
    const mark = done.length;
    worker.update(deleted(worker.pod, 600));
    await until(() => done.includes("SIGTERM app"));
    await remove(worker, 0);
    assert.deepEqual(since(mark).slice(0, 2), ["SIGTERM app", "SIGKILL app"]);
  });

  it("that is gone from the API, or whose kubelet ends, writes nothing there any more", async () => {
    for (const end of ["vanish", "kill"] as const) {
      const worker = start(podOf());
      await until(() => exits.has("app"));
      const mark = done.length;
      status = {};
      worker[end]();
      await worker.done;
      assert.ok(since(mark).includes("remove namespaces"), end);
      assert.ok(!since(mark).some((each) => each.startsWith("delete")), end);
      assert.deepEqual(status, {}, end);
      exits.clear();
    }
  });

  it("tries its namespaces again where they cannot be made, and says so", async () => {
    refusals = [new Error("no address is left")];
    const worker = start(podOf());
    await until(() => exits.has("app"));
    assert.ok(events.includes("FailedCreatePodSandBox"));
    await remove(worker);
  });

  it("has its address, and starts nothing, while a volume cannot be made", async () => {
    const worker = start(podOf({ volumes: [{ name: "v", hostPath: { path: "/" } }] }));
    await until(() => events.length > 0 && status.podIP !== undefined);
    assert.deepEqual([events[0], status.podIP, status.phase], ["FailedMount", "10.244.0.2", "Pending"]);
    await remove(worker);
    assert.equal(exits.size, 0);
  });

  it("with a sysctl of the machine gets nothing", async () => {
    const worker = start(podOf({ securityContext: { sysctls: [{ name: "kernel.panic", value: "1" }] } }));
    await until(() => status.phase !== undefined);
    assert.deepEqual([status.phase, status.reason, done], ["Failed", "SysctlForbidden", []]);
    await remove(worker);
    const harmless = start(podOf({ securityContext: { sysctls: [{ name: "net.core.somaxconn", value: "1" }] } }));
    await until(() => exits.has("app"));
    await remove(harmless);
  });

  it("ends at its active deadline, and keeps its status until it is deleted", async () => {
    const worker = start(podOf({ activeDeadlineSeconds: 0.05 }));
    await until(() => done.includes("remove namespaces"));
    assert.ok(done.includes("SIGTERM app"));
    assert.deepEqual([status.phase, status.reason], ["Failed", "DeadlineExceeded"]);
    await remove(worker);
  });

  it("is over where all containers are, and their policy does not begin them again", async () => {
    const worker = start(podOf({ restartPolicy: "OnFailure" }));
    await until(() => exits.has("app"));
    exits.get("app")!({ code: 0, signal: 0 });
    await until(() => done.includes("remove namespaces"));
    assert.equal(status.phase, "Succeeded");
    const mark = done.length;
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(existsSync(path.join(runDir, "logs/u")), "its logs can be read until it is deleted");
    await remove(worker);
    assert.deepEqual(since(mark), ["delete /api/v1/namespaces/foo/pods/p u"]);
  });

  it("that ended before this kubelet began is not begun again", async () => {
    const worker = start(podOf({}, { status: { phase: "Succeeded" } }));
    await remove(worker);
    assert.deepEqual(done, ["delete /api/v1/namespaces/foo/pods/p u"]);
    assert.deepEqual(status, {});
  });
});
