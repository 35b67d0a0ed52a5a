import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { connect, type Kube } from "../mesh/client.ts";
import { openCommandLine, type CommandLine } from "../mesh/command-line.ts";
import { readLog, type ContainerRef, type ExecResult } from "../mesh/exec.ts";
import { waitForDeployment, waitForPod } from "../mesh/wait.ts";
import { dumpRequestConfig } from "../mesh/proxy-dump.ts";
import { CURL_COMMAND } from "../probe/curl.ts";
import { issuersDirsOf } from "../scenario/brought.ts";
import { createTokenFactory, type TokenFactory } from "../tokens/factory.ts";
import type { ProxyConfig } from "../verdict/proxy-config.ts";
import { followWith, openAccessLog, type AccessLog } from "./access-log.ts";
import type { Applied, AwaitedDeployment } from "./changes.ts";
import { inLane, ownerOf, withoutLanes } from "./lane.ts";
import { failedFetches, findIstiods } from "./failed-fetches.ts";
import { gatewayGone } from "./gateways.ts";
import { nameWay } from "../model/target.ts";
import { findPlace, findTarget, type Places, type Proxy } from "./places.ts";
import type { SessionPlan } from "./plan.ts";
import { countWorkers, readProxy, requestsFor } from "./proxies.ts";
import { findServer } from "./workloads.ts";

/** What a run asks of the proxies. */
export interface Proxies {
  /** What a proxy itself says it enforces; undefined where its answer does not hold this text (a marker's nonce). */
  proxyConfig(proxy: Proxy, text: string): Promise<ProxyConfig | undefined>;
  /** What decides about requests in a proxy's config, as Envoy prints it. */
  dump(proxy: Proxy): Promise<unknown>;
  /** So many requests on connections of their own reach every worker thread of a proxy that they pass, as good as surely. */
  flushRequests(proxies: readonly Proxy[]): Promise<number>;
}

/** A run's view of its cluster: each part of a step takes what it needs of it. Places and targets are looked up once per scenario. */
export interface Session extends Places, Proxies {
  readonly plan: SessionPlan;
  /** As its lane has it. */
  readonly handle: ClusterHandle;
  readonly kube: Kube;
  readonly tokens: TokenFactory;
  readonly accessLog: AccessLog;
  /** What the scenario before has left, for the next one to remove. */
  readonly left: Applied;
  /** The JWKS server's container and address. */
  server(name: string): Promise<ContainerRef & { readonly ip: string }>;
  /** The URIs of keys that istiod could not fetch since, by its log. None where its log cannot be read. */
  failedFetches(since: Date): Promise<readonly string[]>;
  /** What a container has logged since. */
  log(where: ContainerRef, since: Date): Promise<string>;
  /** Waits until nothing serves a deleted Gateway of the Gateway API any more. */
  gatewayGone(namespace: string, name: string): Promise<void>;
  /** Waits until all pods of a Deployment are new and ready. */
  deploymentReady(namespace: string, name: string, awaited?: AwaitedDeployment): Promise<void>;
  /** Waits until a pod is ready. */
  podReady(namespace: string, name: string, signal?: AbortSignal): Promise<void>;
  /** Runs curl in a container with this config (`--config -`). */
  curl(where: ContainerRef, config: Buffer): Promise<ExecResult>;
  readonly lane: number;
  /** Whether what is in a namespace, or in none, is another lane's. */
  isOthers(namespace: string | undefined): boolean;
  /** Data with the names that it would have in lane 1. */
  shown<Data>(data: Data): Data;
  /** Forgets what was looked up: pods may have been replaced since. */
  forget(): void;
  close(): void;
}

export async function openSession(plan: SessionPlan, cluster: ClusterHandle, lane = 1): Promise<Session> {
  const handle = inLane(cluster, lane);
  const kube = connect(handle.kubeconfig, handle.journal?.file, !handle.ours);
  const tokens = await createTokenFactory({ issuersDirs: issuersDirsOf(plan.scenariosRoot), keys: plan.keys });
  const cache = new Map<string, Promise<unknown>>();
  const once = <T>(key: string, make: () => Promise<T>): Promise<T> => {
    const found = (cache.get(key) as Promise<T> | undefined) ?? make();
    cache.set(key, found);
    return found;
  };
  const lines = new Map<string, Promise<CommandLine>>();
  const curl = async (where: ContainerRef, config: Buffer): Promise<ExecResult> => {
    const key = `${where.namespace}/${where.pod}/${where.container}`;
    const known = lines.get(key);
    const line = known && (await known).open ? known : openCommandLine(kube, where, CURL_COMMAND);
    lines.set(key, line);
    line.catch(() => lines.delete(key));
    return (await line).run(config);
  };
  const accessLog = openAccessLog(plan.runId, followWith(kube));
  const shellless = new Set<string>();
  const workerCounts = new Map<string, Promise<number>>();
  return {
    plan,
    handle,
    lane,
    isOthers: (namespace = "") => ownerOf(cluster, namespace) !== lane,
    shown: (data) => (lane === 1 ? data : withoutLanes(cluster, data)),
    kube,
    tokens,
    accessLog,
    left: new Map(),
    curl,
    failedFetches: async (since) => {
      try {
        const logs = await Promise.all((await findIstiods(kube)).map((where) => readLog(kube, where, since)));
        return failedFetches(logs.join("\n")).map((uri) => tokens.redact(uri));
      } catch {
        return [];
      }
    },
    log: (where, since) => readLog(kube, where, since),
    deploymentReady: (...deployment) => waitForDeployment(kube, ...deployment),
    podReady: (namespace, name, signal) => waitForPod(kube, namespace, name, signal ? { signal } : {}),
    gatewayGone: (namespace, name) => gatewayGone(kube, namespace, name),
    proxyConfig: (proxy, text) => readProxy(kube, proxy, text, curl, shellless),
    dump: (proxy) => dumpRequestConfig(kube, proxy),
    flushRequests: async (proxies) =>
      Math.max(
        1,
        ...(await Promise.all(
          proxies.map(async (proxy) => {
            const key = `${proxy.namespace}/${proxy.pod}`;
            const workers = workerCounts.get(key) ?? countWorkers(kube, proxy);
            workerCounts.set(key, workers);
            return requestsFor(await workers);
          }),
        )),
      ),
    place: (name) => once(`place ${name}`, () => findPlace(kube, handle, name)),
    target: (way) => once(`target ${nameWay(way)}`, () => findTarget(kube, handle, way)),
    server: (name) =>
      once(`server ${name}`, async () => {
        const found = await findServer(kube, handle, name);
        if (!found) throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the JWKS server ${name} has no ready pod`);
        return found;
      }),
    forget: () => cache.clear(),
    close: () => {
      accessLog.close();
      for (const line of lines.values()) line.then((opened) => opened.close()).catch(() => undefined);
    },
  };
}
