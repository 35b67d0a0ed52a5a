/* eslint-disable max-lines -- the life of one pod is one state machine */

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import type { V1Container, V1Pod, V1PodStatus, V1Service } from "@kubernetes/client-node";
import { type Api, isStatus } from "./api.ts";
import { type ContainerContext, ContainerWorker, fifosOf, rfc3339 } from "./container-worker.ts";
import { aborted, Deadline, pause } from "./deadline.ts";
import { type ClusterDns, hostNames, hostsFile, resolvConf } from "./dns.ts";
import { buildEnv, serviceEnv } from "./env.ts";
import type { Events } from "./events.ts";
import type { PodFacts } from "./fields.ts";
import type { Image } from "./image.ts";
import type { Network, Sandbox } from "./network.ts";
import { type ObjectKind, type Objects, referencesOf } from "./objects.ts";
import type { Runtime } from "./runtime.ts";
import type { ContainerMount } from "./rootfs.ts";
import { type PodFactsForStatus, podStatus } from "./status.ts";
import { StatusPublisher } from "./status-publisher.ts";
import { PodTokens } from "./tokens.ts";
import { PodVolumes } from "./volumes.ts";

/** The node's parts that every pod needs. */
export interface PodDependencies {
  readonly api: Api;
  readonly events: Events;
  readonly network: Network;
  readonly runtime: Runtime;
  readonly objects: Objects;
  readonly services: () => Iterable<V1Service>;
  readonly serviceHost: string;
  readonly resolveImage: (name: string) => Image | undefined;
  readonly catalogueText: string;
  readonly runDir: string;
  readonly dns: ClusterDns;
  readonly nodeResolvConf: string;
  readonly node: Pick<PodFacts, "hostIp" | "nodeName" | "allocatable">;
  readonly log: (line: string) => void;
}

/** Sysctls that belong to the network namespace; others would change the machine (Kubernetes: sysctls in a cluster). */
const NAMESPACED_SYSCTL = /^net[./]/;
/** Time for a sidecar to end after the others used up the grace period (KEP-753). */
const MINIMUM_GRACE_MS = 2000;

/** The life of one pod: sandbox, volumes, containers in order, status, end. One at a time for each pod. */
export class PodWorker {
  readonly done: Promise<void>;
  readonly #deps: PodDependencies;
  readonly #dir: string;
  readonly #logDir: string;
  readonly #volumes: PodVolumes;
  readonly #tokens: PodTokens;
  readonly #startTime = rfc3339(new Date());
  /** Aborted when the pod must end: it was deleted, vanished, reached its deadline, or the kubelet stops. */
  readonly #ending = new AbortController();
  /** Aborted when the pod is gone from the API, or the kubelet removes it. */
  readonly #gone = new AbortController();
  readonly #deadline = new Deadline();
  readonly #status: StatusPublisher;
  #pod: V1Pod;
  #sandbox: Sandbox | undefined;
  #mounted = false;
  #containers: ContainerWorker[] = [];
  #ended: { reason: string; message: string } | undefined;
  #stopped = false;
  #change = Promise.withResolvers<void>();
  #renewal: NodeJS.Timeout | undefined;
  #syncing: Promise<void> = Promise.resolve();

  constructor(pod: V1Pod, deps: PodDependencies) {
    this.#pod = pod;
    this.#deps = deps;
    this.#dir = `${deps.runDir}/pods/${pod.metadata?.uid}`;
    this.#logDir = `${deps.runDir}/logs/${pod.metadata?.uid}`;
    this.#tokens = new PodTokens(deps.api);
    this.#volumes = new PodVolumes(`${this.#dir}/volumes`, deps.objects, this.#tokens);
    this.#status = new StatusPublisher({
      api: deps.api,
      pod: () => this.#pod,
      status: (latest) => this.#statusOf(latest),
      gone: this.#gone.signal,
      log: deps.log,
    });
    this.update(pod);
    this.done = this.#live().catch((error: unknown) => deps.log(`pod ${this.#title}: ${(error as Error).stack}`));
  }

  get pod(): V1Pod {
    return this.#pod;
  }

  /** Its namespaces; undefined before they are made and after they are gone. */
  get sandbox(): Sandbox | undefined {
    return this.#stopped ? undefined : this.#sandbox;
  }

  get containers(): readonly ContainerWorker[] {
    return this.#containers;
  }

  /** Takes a newer version of the pod from the API. */
  update(pod: V1Pod): void {
    const old = this.#pod;
    this.#pod = pod;
    const { deletionTimestamp, deletionGracePeriodSeconds } = pod.metadata ?? {};
    if (deletionTimestamp) {
      this.#deadline.bringForward(performance.now() + (deletionGracePeriodSeconds ?? 30) * 1000);
      this.#ending.abort();
    }
    if (old === pod) return;
    if (
      JSON.stringify([old.metadata?.labels, old.metadata?.annotations]) !==
      JSON.stringify([pod.metadata?.labels, pod.metadata?.annotations])
    )
      this.#syncVolumes();
    this.#changed();
  }

  /** The pod is gone from the API (a forced deletion): what runs is ended quickly. */
  vanish(): void {
    this.#gone.abort();
    this.#deadline.bringForward(performance.now() + 1000);
    this.#ending.abort();
  }

  /** Kills everything at once, and leaves the API alone. */
  kill(): void {
    this.#gone.abort();
    this.#deadline.bringForward(0);
    this.#ending.abort();
  }

  /** A config map or secret changed. */
  onObject(kind: ObjectKind, name: string): void {
    if (!referencesOf(this.#pod).has(`${kind}/${name}`)) return;
    this.#change.resolve();
    this.#change = Promise.withResolvers<void>();
    this.#syncVolumes();
  }

  get #title(): string {
    return `${this.#pod.metadata?.namespace}/${this.#pod.metadata?.name}`;
  }

  async #live(): Promise<void> {
    // It ended before this kubelet started.
    const over = ["Succeeded", "Failed"].includes(this.#pod.status?.phase ?? "");
    if (!over && this.#admit()) {
      const timer = this.#watchActiveDeadline();
      try {
        if (await this.#setUp()) await Promise.race([this.#runContainers(), aborted(this.#ending.signal)]);
        await this.#stopContainers();
      } finally {
        clearTimeout(timer);
      }
    }
    this.#stopped = true;
    clearTimeout(this.#renewal);
    if (!over && !this.#gone.signal.aborted) await this.#status.publish();
    await this.#sandbox
      ?.remove()
      .catch((error: unknown) => this.#deps.log(`pod ${this.#title}: ${(error as Error).message}`));
    // A finished pod keeps its status and logs until it is deleted.
    if (!this.#pod.metadata?.deletionTimestamp)
      await Promise.race([aborted(this.#deadline.signal), aborted(this.#ending.signal)]);
    if (!this.#gone.signal.aborted && this.#pod.metadata?.deletionTimestamp) await this.#deleteFromApi();
    await this.#syncing;
    rmSync(this.#dir, { recursive: true, force: true });
    rmSync(this.#logDir, { recursive: true, force: true });
    this.#deps.events.forget(this.#pod);
  }

  #admit(): boolean {
    const forbidden = this.#pod.spec?.securityContext?.sysctls?.find(({ name }) => !NAMESPACED_SYSCTL.test(name));
    if (!forbidden) return true;
    this.#ended = { reason: "SysctlForbidden", message: `forbidden sysctl: "${forbidden.name}" not allowlisted` };
    this.#deps.events.emit(this.#pod, "Warning", this.#ended.reason, this.#ended.message);
    return false;
  }

  #watchActiveDeadline(): NodeJS.Timeout | undefined {
    const seconds = this.#pod.spec?.activeDeadlineSeconds;
    if (seconds === undefined) return undefined;
    return setTimeout(() => {
      this.#ended = {
        reason: "DeadlineExceeded",
        message: "Pod was active on the node longer than the specified deadline",
      };
      this.#deps.events.emit(this.#pod, "Normal", "DeadlineExceeded", this.#ended.message);
      this.#deadline.bringForward(performance.now() + this.#gracePeriodMs());
      this.#ending.abort();
    }, seconds * 1000);
  }

  /** Makes namespaces and volumes, again and again until both are there; false where the pod ends before. */
  async #setUp(): Promise<boolean> {
    const spec = this.#pod.spec;
    const all = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
    mkdirSync(this.#dir, { recursive: true });
    const context = this.#contextLater();
    this.#containers = [
      ...(spec?.initContainers ?? []).map(
        (c) => new ContainerWorker(c, c.restartPolicy === "Always" ? "sidecar" : "init", context),
      ),
      ...(spec?.containers ?? []).map((c) => new ContainerWorker(c, "app", context)),
    ];
    for (let attempt = 0; !this.#ending.signal.aborted; attempt++) {
      try {
        const fetched = this.#deps.objects.fetch(this.#pod.metadata?.namespace ?? "", referencesOf(this.#pod));
        // Awaited below; until then a failure must not count as unhandled.
        fetched.catch(() => undefined);
        if (!this.#sandbox) {
          this.#sandbox = await this.#deps.network.createSandbox({
            dir: this.#dir,
            hostname: hostNames(this.#pod, this.#deps.dns.domain).hostname,
            sysctls: spec?.securityContext?.sysctls ?? [],
            fifos: all.flatMap(({ name }) => Object.values(fifosOf(this.#dir, name))),
            hostNetwork: spec?.hostNetwork === true,
          });
          this.#writeEtcFiles(this.#sandbox.ip);
          // Publish the address first: Istio's agent and watchers of endpoints wait for it.
          this.#changed();
        }
        await fetched;
        await this.#volumes.sync(this.#pod, this.#facts());
        this.#mounted = true;
        this.#scheduleRenewal();
        this.#changed();
        return true;
      } catch (error) {
        const message = (error as Error).message;
        this.#deps.events.emit(this.#pod, "Warning", this.#sandbox ? "FailedMount" : "FailedCreatePodSandBox", message);
        this.#changed();
        await this.#waitForChange(Math.min(500 * 2 ** attempt, 120_000), this.#ending.signal);
      }
    }
    return false;
  }

  /** Init containers one after the other, then the containers; resolves once all of them are over. */
  async #runContainers(): Promise<void> {
    const ending = aborted(this.#ending.signal);
    for (const worker of this.#containers.filter(({ record }) => record.kind !== "app")) {
      const life = worker.run();
      await Promise.race([worker.record.kind === "sidecar" ? worker.startedOnce : life, ending]);
      if (this.#ending.signal.aborted) return;
      const { kind, state } = worker.record;
      if (kind === "init" && state.kind === "terminated" && state.exitCode !== 0) return;
    }
    const apps = this.#containers.filter(({ record }) => record.kind === "app");
    const lives: Promise<void>[] = [];
    for (const worker of apps) {
      lives.push(worker.run());
      // A postStart hook delays the containers after it: Istio's holdApplicationUntilProxyStarts needs that.
      await Promise.race([worker.launched, ending]);
      if (this.#ending.signal.aborted) return;
    }
    await Promise.all(lives);
  }

  /** Containers together, then the sidecars, last one first (KEP-753). */
  async #stopContainers(): Promise<void> {
    if (!this.#ending.signal.aborted) this.#deadline.bringForward(performance.now() + this.#gracePeriodMs());
    const sidecars = this.#containers.filter(({ record }) => record.kind === "sidecar");
    await Promise.all(
      this.#containers.filter((worker) => !sidecars.includes(worker)).map((worker) => worker.stop(this.#deadline)),
    );
    for (const worker of sidecars.reverse()) {
      const late = this.#deadline.signal.aborted && !this.#gone.signal.aborted;
      const deadline = late ? new Deadline() : this.#deadline;
      if (late) deadline.bringForward(performance.now() + MINIMUM_GRACE_MS);
      await worker.stop(deadline);
    }
  }

  #contextLater(): ContainerContext {
    const sandbox = (): Sandbox => {
      if (!this.#sandbox) throw new Error("the pod has no sandbox yet");
      return this.#sandbox;
    };
    return {
      runtime: this.#deps.runtime,
      events: this.#deps.events,
      get sandbox() {
        return sandbox();
      },
      dir: this.#dir,
      logDir: this.#logDir,
      pod: () => this.#pod,
      env: (container) => this.#envOf(container),
      mounts: (container, env) => this.#mountsOf(container, env),
      resolveImage: this.#deps.resolveImage,
      catalogueText: this.#deps.catalogueText,
      hostname: hostNames(this.#pod, this.#deps.dns.domain).hostname,
      changed: () => this.#changed(),
      waitForChange: (ms, signal) => this.#waitForChange(ms, signal),
    };
  }

  #facts(): PodFacts {
    return { ...this.#deps.node, podIp: this.#sandbox?.ip ?? "" };
  }

  #envOf(container: V1Container): Record<string, string> {
    const namespace = this.#pod.metadata?.namespace ?? "";
    const sources = {
      configMap: (name: string) => this.#deps.objects.get("configmaps", namespace, name),
      secret: (name: string) => this.#deps.objects.get("secrets", namespace, name),
    };
    const api = { KUBERNETES_SERVICE_HOST: this.#deps.serviceHost, KUBERNETES_SERVICE_PORT: "443" };
    const services = serviceEnv(this.#deps.services(), namespace, this.#pod.spec?.enableServiceLinks !== false);
    return buildEnv(this.#pod, container, this.#facts(), sources, { ...api, ...services });
  }

  #mountsOf(container: V1Container, env: Readonly<Record<string, string>>): ContainerMount[] {
    const volumes = this.#volumes.mountsOf(this.#pod, container, env);
    const files = ["hosts", "hostname", "resolv.conf"]
      .map((name) => ({ source: `${this.#dir}/${name}`, target: `/etc/${name}`, readOnly: false, isFile: true }))
      .filter(({ target }) => !volumes.some((mount) => mount.target === target));
    return [...files, ...volumes];
  }

  #writeEtcFiles(ip: string): void {
    const { dns, nodeResolvConf } = this.#deps;
    writeFileSync(`${this.#dir}/hosts`, hostsFile(this.#pod, ip, dns.domain));
    writeFileSync(`${this.#dir}/hostname`, `${hostNames(this.#pod, dns.domain).hostname}\n`);
    writeFileSync(`${this.#dir}/resolv.conf`, resolvConf(this.#pod, dns, nodeResolvConf));
  }

  async #waitForChange(ms: number, signal: AbortSignal): Promise<void> {
    const over = new AbortController();
    await Promise.race([this.#change.promise, pause(ms, AbortSignal.any([signal, over.signal]))]);
    over.abort();
  }

  /** Brings mounted volumes up to date, one sync after the other. */
  #syncVolumes(): void {
    if (!this.#mounted || this.#stopped) return;
    this.#syncing = this.#syncing.then(async () => {
      if (this.#stopped) return;
      try {
        await this.#volumes.sync(this.#pod, this.#facts());
      } catch (error) {
        this.#deps.events.emit(this.#pod, "Warning", "FailedMount", (error as Error).message);
      }
      this.#scheduleRenewal();
    });
  }

  #scheduleRenewal(): void {
    clearTimeout(this.#renewal);
    const at = this.#tokens.renewAt;
    if (at === undefined || this.#stopped) return;
    // Wait at least 10 s after a failed renewal.
    // eslint-disable-next-line no-restricted-syntax -- a token expires by the wall clock
    this.#renewal = setTimeout(() => this.#syncVolumes(), Math.max(at - Date.now(), 10_000));
    this.#renewal.unref();
  }

  #gracePeriodMs(): number {
    return (this.#pod.spec?.terminationGracePeriodSeconds ?? 30) * 1000;
  }

  #changed(): void {
    if (!this.#stopped) void this.#status.publish();
  }

  #statusOf(pod: V1Pod): V1PodStatus {
    const facts: PodFactsForStatus = {
      records: this.#containers.map(({ record }) => record),
      podIp: this.#sandbox?.ip,
      hostIp: this.#deps.node.hostIp,
      sandboxReady: this.#sandbox !== undefined && !this.#stopped,
      startTime: this.#startTime,
      stopped: this.#stopped,
      ...(this.#ended ? { ended: this.#ended } : {}),
    };
    return podStatus(pod, facts, rfc3339(new Date()));
  }

  async #deleteFromApi(): Promise<void> {
    const { namespace, name, uid } = this.#pod.metadata ?? {};
    for (let failures = 0; !this.#gone.signal.aborted; failures++) {
      try {
        await this.#deps.api.remove(`/api/v1/namespaces/${namespace}/pods/${name}`, {
          gracePeriodSeconds: 0,
          preconditions: { uid },
        });
        return;
      } catch (error) {
        if (isStatus(error, 404) || isStatus(error, 409)) return;
        await pause(Math.min(200 * 2 ** failures, 5000), this.#gone.signal);
      }
    }
  }
}
