import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { V1Container, V1Pod, V1PodSpec } from "@kubernetes/client-node";
import { ContainerWorker, type ContainerContext } from "./container-worker.ts";
import { Deadline } from "./deadline.ts";
import { ContainerConfigError } from "./env.ts";
import type { Image } from "./image.ts";
import type { RunLog } from "./logs.ts";
import type { Exit, Runtime } from "./runtime.ts";
import type { ContainerRecord } from "./status.ts";

const IMAGE: Image = {
  ...{ name: "httpbin", digest: "sha256:1", layers: [], binds: [], entrypoint: ["/httpbin"], cmd: [], env: {} },
  ...{ user: 0, workingDir: "/" },
};

/** One run of a container in a runtime that starts nothing. */
interface Run {
  readonly signals: string[];
  /** The file of its termination message. */
  readonly message: string;
  readonly log: RunLog;
  exit(code: number, signal?: number): void;
}

describe("a container's life", () => {
  let dir: string;
  let runs: Run[];
  let events: string[];
  /** What a start throws, the first first. */
  let refusals: Error[];
  /** What SIGTERM makes of a run; undefined where it does nothing. */
  let onTerm: Exit | undefined;
  let waits: number;
  let wake: () => void;

  beforeEach(() => {
    dir = mkdtempSync(path.join(tmpdir(), "meshproof-container-"));
    [runs, events, refusals, onTerm, waits, wake] = [[], [], [], { code: 0, signal: 0 }, 0, () => undefined];
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  const runtime = {
    capabilities: new Set<string>(),
    passwdOf: () => "",
    async start({ mounts, log }: Parameters<Runtime["start"]>[0]) {
      const refusal = refusals.shift();
      if (refusal !== undefined) throw refusal;
      const exited = Promise.withResolvers<Exit>();
      const signals: string[] = [];
      runs.push({
        ...{ signals, log, message: mounts.find(({ target }) => target === "/dev/termination-log")?.source ?? "" },
        exit: (code, signal = 0) => exited.resolve({ code, signal }),
      });
      wake();
      return {
        ...{ pid: 1, startedAt: new Date(0), exited: exited.promise, stdin: undefined },
        signal(name: "SIGTERM" | "SIGKILL") {
          signals.push(name);
          if (name === "SIGKILL") exited.resolve({ code: 137, signal: 9 });
          else if (onTerm !== undefined) exited.resolve(onTerm);
        },
        enter: (command: readonly string[]) => command as [string, ...string[]],
      };
    },
  } as unknown as Runtime;

  const worker = (
    container: Partial<V1Container> = {},
    { kind = "app", pod = {} }: { kind?: ContainerRecord["kind"]; pod?: Partial<V1PodSpec> } = {},
  ): ContainerWorker => {
    const spec: V1Container = { name: "c", image: "httpbin", ...container };
    const whole: V1Pod = { metadata: { name: "p", namespace: "foo" }, spec: { containers: [spec], ...pod } };
    const context = {
      ...{ runtime, dir, logDir: path.join(dir, "logs"), hostname: "p", catalogueText: "httpbin" },
      events: { emit: (_pod: V1Pod, _type: string, reason: string) => void events.push(reason) },
      sandbox: { ip: "127.0.0.1" },
      pod: () => whole,
      env: () => ({}),
      mounts: () => [],
      resolveImage: (name: string) => (name === "httpbin" ? IMAGE : undefined),
      changed: () => wake(),
      async waitForChange() {
        waits++;
      },
    } as unknown as ContainerContext;
    return new ContainerWorker(spec, kind, context);
  };
  /** Waits until a change made it so. */
  const until = async (what: () => boolean): Promise<void> => {
    while (!what()) await new Promise<void>((resolve) => (wake = resolve));
  };
  const inTime = (): Deadline => new Deadline();

  it("begins again when it ended, whatever its exit code, and remembers the end before", async () => {
    const one = worker();
    const life = one.run();
    await until(() => one.record.ready);
    runs[0]!.exit(0);
    await until(() => runs.length === 2 && one.record.ready);
    assert.equal(one.record.restartCount, 1);
    assert.equal(one.record.lastState?.kind, "terminated");
    assert.deepEqual(
      [one.record.lastState.exitCode, one.record.lastState.reason, one.record.state.kind],
      [0, "Completed", "running"],
    );
    await one.stop(inTime());
    await life;
    assert.deepEqual([one.record.finished, one.record.ready, one.record.state.kind], [true, false, "terminated"]);
  });

  it("waits longer after the second failure, as CrashLoopBackOff, and a stop ends the wait", async () => {
    const one = worker();
    const life = one.run();
    for (const count of [1, 2]) {
      await until(() => runs.length === count && one.record.ready);
      runs[count - 1]!.exit(3);
    }
    await until(() => one.record.state.kind === "waiting");
    assert.equal(one.record.state.kind === "waiting" && one.record.state.reason, "CrashLoopBackOff");
    assert.ok(events.includes("BackOff"));
    await one.stop(inTime());
    await life;
    assert.equal(one.record.state.kind === "terminated" && one.record.state.exitCode, 3);
    assert.equal(runs.length, 2);
  });

  for (const [policy, kind, code, again] of [
    ["Never", "app", 1, false],
    ["OnFailure", "app", 0, false],
    ["OnFailure", "app", 1, true],
    ["Always", "init", 0, false],
    ["Always", "init", 1, true],
    ["Never", "init", 1, false],
  ] as const)
    it(`of the kind ${kind} under ${policy} ${again ? "begins again" : "is over"} after exit code ${code}`, async () => {
      const one = worker({}, { kind, pod: { restartPolicy: policy } });
      const life = one.run();
      await until(() => one.record.started);
      runs[0]!.exit(code);
      if (again) {
        await until(() => runs.length === 2 && one.record.started);
        await one.stop(inTime());
      }
      await life;
      assert.equal(runs.length, again ? 2 : 1);
      assert.equal(one.record.state.kind === "terminated" && one.record.state.exitCode, again ? 0 : code);
    });

  it("that was killed says by which signal, and what it left as its last words", async () => {
    const one = worker({}, { pod: { restartPolicy: "Never" } });
    const life = one.run();
    await until(() => one.record.ready);
    writeFileSync(runs[0]!.message, "out of memory");
    runs[0]!.exit(137, 9);
    await life;
    const { state } = one.record;
    assert.ok(state.kind === "terminated");
    assert.deepEqual([state.exitCode, state.signal, state.reason, state.message], [137, 9, "Error", "out of memory"]);
  });

  it("has the end of its log for last words, where its spec asks for that and it failed", async () => {
    const one = worker({ terminationMessagePolicy: "FallbackToLogsOnError" }, { pod: { restartPolicy: "Never" } });
    const life = one.run();
    await until(() => one.record.ready);
    runs[0]!.log.append("stderr", Buffer.from("cannot listen\n"));
    runs[0]!.exit(1);
    await life;
    assert.equal(one.record.state.kind === "terminated" && one.record.state.message, "cannot listen\n");
  });

  it("gets SIGTERM, and SIGKILL at the deadline alone", async () => {
    onTerm = undefined;
    const one = worker();
    const life = one.run();
    await until(() => one.record.ready);
    const deadline = new Deadline();
    const stopping = one.stop(deadline);
    await until(() => runs[0]!.signals.length > 0 || events.includes("Killing"));
    assert.deepEqual(runs[0]!.signals, ["SIGTERM"]);
    deadline.bringForward(0);
    await stopping;
    await life;
    assert.deepEqual(runs[0]!.signals, ["SIGTERM", "SIGKILL"]);
    assert.equal(one.record.state.kind === "terminated" && one.record.state.signal, 9);
  });

  it("that is stopped before it began never runs", async () => {
    const one = worker();
    await one.stop(inTime());
    assert.deepEqual([one.record.finished, runs.length], [true, 0]);
  });

  it("says why it does not start, and tries again when something has changed", async () => {
    refusals = [new ContainerConfigError("secret a is not there"), new Error("no such file")];
    const one = worker();
    const reasons: string[] = [];
    const life = one.run();
    await until(() => {
      if (one.record.state.kind === "waiting") reasons.push(`${one.record.state.reason}: ${one.record.state.message}`);
      return one.record.ready;
    });
    assert.equal(waits, 2);
    assert.ok(reasons.includes("CreateContainerConfigError: secret a is not there"), reasons.join());
    assert.ok(reasons.includes("RunContainerError: no such file"), reasons.join());
    assert.equal(one.record.restartCount, 0);
    await one.stop(inTime());
    await life;
  });

  it("whose image is not in the catalogue waits, and does not keep its pod from starting others", async () => {
    const one = worker({ image: "nginx:1" });
    const life = one.run();
    await one.launched;
    const { state } = one.record;
    assert.ok(state.kind === "waiting");
    assert.equal(state.reason, "ErrImagePull");
    assert.match(state.message ?? "", /none called "nginx:1"/);
    await one.stop(inTime());
    await life;
    assert.equal(runs.length, 0);
  });

  it("whose postStart hook fails is killed and begins again", async () => {
    const one = worker({ lifecycle: { postStart: { exec: { command: ["false"] } } } });
    const life = one.run();
    await until(() => runs.length === 2);
    assert.deepEqual(runs[0]!.signals.slice(0, 1), ["SIGTERM"]);
    assert.ok(events.includes("FailedPostStartHook"));
    await one.stop(inTime());
    await life;
  });

  it("is not ready before its readiness probe says so", async () => {
    const ready = path.join(dir, "ready");
    const probe = { exec: { command: ["test", "-e", ready] }, periodSeconds: 1 };
    const one = worker({ readinessProbe: probe });
    const life = one.run();
    await until(() => one.record.started && events.includes("Unhealthy"));
    assert.equal(one.record.ready, false);
    writeFileSync(ready, "");
    await until(() => one.record.ready);
    await one.stop(inTime());
    await life;
    assert.equal(one.record.ready, false);
  });
});
