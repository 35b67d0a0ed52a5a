/* eslint-disable max-lines -- the life of one container is one state machine */

import { randomBytes } from "node:crypto";
import { mkdirSync, chmodSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import type { V1Container, V1Pod } from "@kubernetes/client-node";
import { type ActionTarget, runAction } from "./actions.ts";
import { BackOff, formatPause } from "./backoff.ts";
import { aborted, Deadline, pause } from "./deadline.ts";
import { commandLine, ContainerConfigError } from "./env.ts";
import type { Events } from "./events.ts";
import type { Image } from "./image.ts";
import { ContainerLogs } from "./logs.ts";
import type { Sandbox } from "./network.ts";
import { runProbe } from "./probes.ts";
import type { ContainerMount } from "./rootfs.ts";
import type { Exit, RunningContainer, Runtime } from "./runtime.ts";
import { identityOf, primaryGroupIn, ungranted } from "./security.ts";
import { inTerminal } from "./terminal.ts";
import type { ContainerRecord, TerminatedState } from "./status.ts";

/** What a container needs of its pod and node. */
export interface ContainerContext {
  readonly runtime: Runtime;
  readonly events: Events;
  readonly sandbox: Sandbox;
  /** The pod's directory on the node, and the one for its logs. */
  readonly dir: string;
  readonly logDir: string;
  /** The latest version of the pod. */
  pod(): V1Pod;
  env(container: V1Container): Record<string, string>;
  mounts(container: V1Container, env: Readonly<Record<string, string>>): ContainerMount[];
  resolveImage(name: string): Image | undefined;
  /** The part of the message for an image that is not in the catalogue. */
  readonly catalogueText: string;
  readonly hostname: string;
  /** Called when the record changed. */
  changed(): void;
  /** Resolves after a change of an object that the pod refers to, after this time or at the signal. */
  waitForChange(ms: number, signal: AbortSignal): Promise<void>;
}

/** The life of one container: image, start, hooks, probes, restarts, stop. */
export class ContainerWorker {
  readonly spec: V1Container;
  readonly record: ContainerRecord;
  readonly logs: ContainerLogs;
  running: RunningContainer | undefined;

  readonly #context: ContainerContext;
  readonly #stopping = new AbortController();
  readonly #launched = Promise.withResolvers<void>();
  readonly #startedOnce = Promise.withResolvers<void>();
  /** The current run is being killed, and its liveness probe has stopped. */
  #killing = new AbortController();
  #life: Promise<void> | undefined;

  constructor(spec: V1Container, kind: ContainerRecord["kind"], context: ContainerContext) {
    this.spec = spec;
    this.#context = context;
    this.logs = new ContainerLogs(`${context.logDir}/${spec.name}`);
    this.record = {
      name: spec.name,
      kind,
      image: spec.image ?? "",
      state: {
        kind: "waiting",
        reason: context.pod().spec?.initContainers?.length ? "PodInitializing" : "ContainerCreating",
      },
      lastState: undefined,
      restartCount: 0,
      started: false,
      startedOnce: false,
      ready: false,
      imageID: "",
      containerID: "",
      finished: false,
    };
  }

  /** Starts the container's life; resolves once it will not run again. */
  run(): Promise<void> {
    this.#life ??= this.#live().finally(() => {
      this.record.finished = true;
      this.#launched.resolve();
      this.#context.changed();
    });
    return this.#life;
  }

  /** Resolves once the first attempt to start is through, with its postStart hook, whether it succeeded or not. */
  get launched(): Promise<void> {
    return this.#launched.promise;
  }

  /** Resolves once it was `started` the first time. */
  get startedOnce(): Promise<void> {
    return this.#startedOnce.promise;
  }

  /** Ends it for good: preStop hook, SIGTERM, and SIGKILL at the deadline. */
  async stop(deadline: Deadline, why = "Stopping container"): Promise<void> {
    if (!this.#life) {
      this.record.finished = true;
      return;
    }
    const running = this.running;
    this.#stopping.abort();
    if (running) {
      this.#event("Normal", "Killing", `${why} ${this.spec.name}`);
      await this.#terminate(running, deadline);
    }
    await this.#life;
  }

  async #live(): Promise<void> {
    const restarts = new BackOff();
    const stop = this.#stopping.signal;
    while (!stop.aborted) {
      const image = await this.#pull();
      if (!image || stop.aborted) return;
      const begun = performance.now();
      const exit = await this.#runOnce(image);
      this.#launched.resolve();
      if (!exit) {
        await this.#context.waitForChange(BackOff.FIRST_MS, stop);
        continue;
      }
      if (stop.aborted || !this.#restarts(exit)) return;
      const pauseMs = restarts.next(performance.now() - begun);
      const { name: pod, namespace, uid } = this.#context.pod().metadata ?? {};
      this.record.lastState = this.record.state as TerminatedState;
      if (pauseMs > 0) {
        const message = `back-off ${formatPause(pauseMs)} restarting failed container=${this.spec.name} pod=${pod}_${namespace}(${uid})`;
        this.record.state = { kind: "waiting", reason: "CrashLoopBackOff", message };
        this.#context.changed();
        this.#event(
          "Warning",
          "BackOff",
          `Back-off restarting failed container ${this.spec.name} in pod ${pod}_${namespace}(${uid})`,
        );
        await pause(pauseMs, stop);
        if (stop.aborted) {
          this.record.state = this.record.lastState;
          return;
        }
      }
      this.record.restartCount++;
    }
  }

  /** The image, once the catalogue has it; undefined if the container is stopped before. */
  async #pull(): Promise<Image | undefined> {
    const stop = this.#stopping.signal;
    const back = new BackOff();
    back.next(0);
    while (!stop.aborted) {
      const name = this.spec.image ?? "";
      const image = this.#context.resolveImage(name);
      if (image) {
        this.#event("Normal", "Pulled", `Container image "${name}" already present on machine`);
        this.record.imageID = `${image.name}@${image.digest}`;
        return image;
      }
      const message = `the embedded cluster pulls no images and has none called "${name}"; its catalogue: ${this.#context.catalogueText}`;
      this.record.state = { kind: "waiting", reason: "ErrImagePull", message };
      this.#context.changed();
      this.#launched.resolve();
      this.#event("Warning", "Failed", `Failed to pull image "${name}": ${message}`);
      this.#event("Warning", "Failed", "Error: ErrImagePull");
      // The least time of the kubelet's first pull, so that both reasons can be seen.
      await pause(1000, stop);
      if (stop.aborted) return undefined;
      this.record.state = {
        kind: "waiting",
        reason: "ImagePullBackOff",
        message: `Back-off pulling image "${name}": ErrImagePull: ${message}`,
      };
      this.#context.changed();
      this.#event("Normal", "BackOff", `Back-off pulling image "${name}"`);
      await pause(back.next(0), stop);
    }
    return undefined;
  }

  /** One run, from start to end; undefined if it did not start. */
  async #runOnce(image: Image): Promise<Exit | undefined> {
    const id = randomBytes(16).toString("hex");
    const dir = `${this.#context.dir}/containers/${this.spec.name}-${id.slice(0, 8)}`;
    const terminationLog = `${dir}/termination-log`;
    let running: RunningContainer;
    try {
      mkdirSync(dir, { recursive: true });
      writeFileSync(terminationLog, "");
      chmodSync(terminationLog, 0o666);
      running = await this.#start(image, dir, terminationLog);
    } catch (error) {
      rmSync(dir, { recursive: true, force: true });
      const reason = error instanceof ContainerConfigError ? error.name : "RunContainerError";
      const message = (error as Error).message;
      this.record.state = { kind: "waiting", reason, message };
      this.#context.changed();
      this.#event("Warning", "Failed", `Error: ${message}`);
      return undefined;
    }
    this.running = running;
    const startedAt = rfc3339(running.startedAt);
    this.record.containerID = `meshproof://${id}`;
    this.record.state = { kind: "running", startedAt };
    this.#context.changed();
    this.#event("Normal", "Started", `Started container ${this.spec.name}`);

    const alive = new AbortController();
    this.#killing = new AbortController();
    const hooksAndProbes = this.#accompany(running, alive.signal);
    // A stop during the start found no process to end, so it is ended here.
    if (this.#stopping.signal.aborted) running.signal("SIGKILL");
    const exit = await running.exited;
    alive.abort();
    await hooksAndProbes;
    this.running = undefined;
    this.record.ready = false;
    this.record.started = false;
    const message = this.#terminationMessage(terminationLog, exit);
    rmSync(dir, { recursive: true, force: true });
    this.record.state = {
      kind: "terminated",
      exitCode: exit.code,
      ...(exit.signal ? { signal: exit.signal } : {}),
      reason: exit.code === 0 ? "Completed" : "Error",
      ...(message ? { message } : {}),
      startedAt,
      finishedAt: rfc3339(new Date()),
      containerID: this.record.containerID,
    };
    this.#context.changed();
    return exit;
  }

  async #start(image: Image, dir: string, terminationLog: string): Promise<RunningContainer> {
    const { runtime, sandbox } = this.#context;
    const pod = this.#context.pod();
    const passwd = runtime.passwdOf(image);
    const identity = identityOf(pod, this.spec, image.user, (uid) => primaryGroupIn(passwd, uid), runtime.capabilities);
    const declared = this.#context.env(this.spec);
    const env = {
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      HOSTNAME: this.#context.hostname,
      HOME: identity.uid === 0 ? "/root" : "/",
      ...(this.spec.tty ? { TERM: "xterm" } : {}),
      ...image.env,
      ...declared,
    };
    const command = commandLine(this.spec, image, declared);
    const mounts = [
      ...this.#context.mounts(this.spec, declared),
      {
        source: terminationLog,
        target: this.spec.terminationMessagePath ?? "/dev/termination-log",
        readOnly: false,
        isFile: true,
      },
    ];
    this.#event("Normal", "Created", `Created container: ${this.spec.name}`);
    for (const message of ungranted(this.spec, runtime.capabilities)) this.#event("Warning", "NotGranted", message);
    return runtime.start({
      image,
      dir,
      sandbox,
      mounts,
      identity,
      readOnlyRoot: this.spec.securityContext?.readOnlyRootFilesystem === true,
      workingDir: this.spec.workingDir ?? image.workingDir,
      env,
      command: this.spec.tty ? inTerminal(command) : command,
      // Without an input, script(1) would see end of file and close the terminal.
      stdin: this.spec.stdin === true || this.spec.tty === true,
      fifos: fifosOf(this.#context.dir, this.spec.name),
      log: this.logs.startRun(),
    });
  }

  /** The postStart hook, then the probes, until the run ends. */
  async #accompany(running: RunningContainer, alive: AbortSignal): Promise<void> {
    const target = this.#target(running);
    const hook = this.spec.lifecycle?.postStart;
    if (hook) {
      const { ok, message } = await runAction(hook, target, undefined, alive);
      if (!ok && !alive.aborted) {
        this.#event("Warning", "FailedPostStartHook", `PostStartHook failed: ${message}`);
        await this.#restart(running, "postStart hook", this.#gracePeriodMs());
      }
    }
    this.#launched.resolve();
    if (alive.aborted) return;
    const { startupProbe, readinessProbe, livenessProbe } = this.spec;

    const begin = async (): Promise<void> => {
      this.record.started = true;
      this.record.startedOnce = true;
      this.#startedOnce.resolve();
      if (this.record.kind !== "init") this.record.ready = !readinessProbe;
      this.#context.changed();
      await Promise.all([
        readinessProbe &&
          runProbe({
            probe: readinessProbe,
            eager: true,
            run: (timeoutMs, signal) => runAction(readinessProbe, target, timeoutMs, signal),
            onResult: (result) => {
              this.record.ready = result === "success";
              this.#context.changed();
            },
            onFailure: (message) => this.#event("Warning", "Unhealthy", `Readiness probe failed: ${message}`),
            signal: alive,
          }),
        livenessProbe &&
          runProbe({
            probe: livenessProbe,
            eager: false,
            run: (timeoutMs, signal) => runAction(livenessProbe, target, timeoutMs, signal),
            onResult: (result) => {
              if (result === "failure")
                void this.#restart(
                  running,
                  "liveness probe",
                  this.#gracePeriodMs(livenessProbe.terminationGracePeriodSeconds),
                );
            },
            onFailure: (message) => this.#event("Warning", "Unhealthy", `Liveness probe failed: ${message}`),
            signal: AbortSignal.any([alive, this.#stopping.signal, this.#killing.signal]),
          }),
      ]);
    };

    if (!startupProbe) return begin();
    const through = new AbortController();
    let succeeded = false;
    await runProbe({
      probe: startupProbe,
      eager: true,
      run: (timeoutMs, signal) => runAction(startupProbe, target, timeoutMs, signal),
      onResult: (result) => {
        succeeded = result === "success";
        through.abort();
        if (!succeeded)
          void this.#restart(running, "startup probe", this.#gracePeriodMs(startupProbe.terminationGracePeriodSeconds));
      },
      onFailure: (message) => this.#event("Warning", "Unhealthy", `Startup probe failed: ${message}`),
      signal: AbortSignal.any([alive, through.signal]),
    });
    if (succeeded) await begin();
  }

  async #restart(running: RunningContainer, why: string, graceMs: number): Promise<void> {
    if (this.#stopping.signal.aborted) return;
    this.#killing.abort();
    const verb = this.#restarts({ code: 1, signal: 0 }) ? "will be restarted" : "will be killed";
    this.#event("Normal", "Killing", `Container ${this.spec.name} failed ${why}, ${verb}`);
    const deadline = new Deadline();
    deadline.bringForward(performance.now() + graceMs);
    await this.#terminate(running, deadline);
  }

  async #terminate(running: RunningContainer, deadline: Deadline): Promise<void> {
    const hook = this.spec.lifecycle?.preStop;
    const ended = running.exited.then(() => undefined);
    if (hook && !deadline.signal.aborted) {
      const { ok, message } = await Promise.race([
        runAction(hook, this.#target(running), undefined, deadline.signal),
        ended.then(() => ({ ok: true, message: "" })),
      ]);
      if (!ok) this.#event("Warning", "FailedPreStopHook", `PreStopHook failed: ${message}`);
    }
    running.signal("SIGTERM");
    await Promise.race([ended, aborted(deadline.signal)]);
    running.signal("SIGKILL");
    await ended;
  }

  #restarts(exit: Exit): boolean {
    const { kind } = this.record;
    const own = (this.spec as { restartPolicy?: string }).restartPolicy;
    const policy = own ?? this.#context.pod().spec?.restartPolicy ?? "Always";
    if (policy === "Never") return false;
    return policy === "Always" && kind !== "init" ? true : exit.code !== 0;
  }

  #gracePeriodMs(own?: number): number {
    return (own ?? this.#context.pod().spec?.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  #target(running: RunningContainer): ActionTarget {
    return {
      podIp: this.#context.sandbox.ip,
      container: this.spec,
      enter: (command) => running.enter(command),
    };
  }

  /** At most 4 KiB of the termination message file, or the end of the log where the spec asks for it. */
  #terminationMessage(file: string, exit: Exit): string {
    const text = readFileSync(file).subarray(0, 4096).toString();
    if (text || exit.code === 0 || this.spec.terminationMessagePolicy !== "FallbackToLogsOnError") return text;
    const lines = this.logs.get(false)?.read().slice(-80) ?? [];
    return Buffer.concat(lines.flatMap(({ text: line }) => [line, Buffer.from("\n")]))
      .subarray(-2048)
      .toString();
  }

  #event(type: "Normal" | "Warning", reason: string, message: string): void {
    const list = this.record.kind === "app" ? "containers" : "initContainers";
    this.#context.events.emit(this.#context.pod(), type, reason, message, `spec.${list}{${this.spec.name}}`);
  }
}

/** The named pipes of a container's output; they live as long as the pod. */
export function fifosOf(podDir: string, container: string): { stdout: string; stderr: string } {
  return { stdout: `${podDir}/${container}.out`, stderr: `${podDir}/${container}.err` };
}

/** A time in the API server's format: whole seconds. */
export function rfc3339(date: Date): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
