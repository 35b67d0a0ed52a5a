import { mkdirSync } from "node:fs";
import { readFile } from "node:fs/promises";
import type { V1Pod, V1Service } from "@kubernetes/client-node";
import { Api, type Credentials } from "./api.ts";
import { Events } from "./events.ts";
import type { Image } from "./image.ts";
import { Network } from "./network.ts";
import { allocatable, keepNode, registerNode } from "./node.ts";
import { type ObjectKind, Objects } from "./objects.ts";
import { PodWorker } from "./pod-worker.ts";
import { reflect } from "./reflector.ts";
import { Runtime } from "./runtime.ts";
import { serveKubelet } from "./server.ts";
import { makeUserNamespace } from "./user-namespace.ts";

export interface KubeletOptions {
  /** Credentials of the API server: may read pods, config maps, secrets and services everywhere and write pod and node status. */
  readonly kubeConfig: Credentials;
  readonly nodeName: string;
  /** The bridge's address, the pods' default route. */
  readonly nodeIp: string;
  /** For example `10.244.0.0/24`. */
  readonly podCidr: string;
  /** The bridge that pods are joined to, for example `br0`. */
  readonly bridge: string;
  readonly clusterDns: string;
  /** The API server's cluster IP, for `KUBERNETES_SERVICE_HOST` until its Service is known. */
  readonly serviceHost: string;
  /** For example `cluster.local`. */
  readonly clusterDomain: string;
  /** On a file system private to the mount namespace (a tmpfs): pods' volumes, upper layers and logs. */
  readonly runDir: string;
  /** The lowest layer of every container. */
  readonly debianRoot: string;
  /** A root of Debian's tools with proc, sys and dev of these namespaces, for `chroot <nodeRoot> ip`. */
  readonly nodeRoot: string;
  readonly resolveImage: (name: string) => Image | undefined;
  /** The names of the known images, for the message about an unknown one. */
  readonly catalogueText: string;
  /** PEM. Only clients with a certificate of `clientCa` are served. */
  readonly serving: { readonly cert: string; readonly key: string; readonly clientCa: string };
  readonly log: (line: string) => void;
  readonly port?: number;
}

export interface Kubelet {
  /** Kills all containers and removes their namespaces. The API keeps the last status. */
  stop(): Promise<void>;
}

/**
 * Starts a kubelet in the network, mount and PID namespaces of the caller, which must be root in them.
 * Resolves once the node is Ready and its pods are managed.
 * @throws Error if the API server rejects it or the container root cannot be prepared.
 */
export async function startKubelet(options: KubeletOptions): Promise<Kubelet> {
  const { runDir, nodeName, nodeIp, log } = options;
  const port = options.port ?? 10250;
  const stopping = new AbortController();
  const { signal } = stopping;
  mkdirSync(runDir, { recursive: true });
  const userNamespace = `${runDir}/user-namespace`;
  const [api] = await Promise.all([Api.of(options.kubeConfig), makeUserNamespace(userNamespace)]);
  const [runtime, nodeResolvConf] = await Promise.all([
    Runtime.create(options.debianRoot, runDir, userNamespace),
    readFile("/etc/resolv.conf", "utf8").catch(() => ""),
  ]);
  const node = { nodeName, nodeIp, podCidr: options.podCidr, port, maxPods: 250 };
  const onTrouble = (error: Error): void => log(`watch taken up again: ${error.message}`);
  const workers = new Map<string, PodWorker>();

  const onObject = (kind: ObjectKind, namespace: string, name: string): void => {
    for (const worker of workers.values())
      if (worker.pod.metadata?.namespace === namespace) worker.onObject(kind, name);
  };
  const nothing = { onObject: () => undefined, onGone: () => undefined, onTrouble };
  const [objects, services] = await Promise.all([
    Objects.watch(api, onObject, onTrouble, signal),
    reflect<V1Service>(api, "/api/v1/services", "", nothing, signal),
  ]);

  const closeServer = await serveKubelet({
    address: nodeIp,
    port,
    tls: options.serving,
    workers: () => workers.values(),
    log,
  });
  await registerNode(api, node);
  void keepNode(api, node, log, signal);

  const deps = {
    api,
    events: new Events(api, nodeName),
    network: new Network({ ...options, userNamespace }),
    runtime,
    objects,
    services: () => services.values(),
    serviceHost: options.serviceHost,
    resolveImage: options.resolveImage,
    catalogueText: options.catalogueText,
    runDir,
    dns: { server: options.clusterDns, domain: options.clusterDomain },
    nodeResolvConf,
    node: { hostIp: nodeIp, nodeName, allocatable: allocatable() },
    log,
  };
  await reflect<V1Pod>(
    api,
    "/api/v1/pods",
    `fieldSelector=${encodeURIComponent(`spec.nodeName=${nodeName}`)}`,
    {
      onObject: (pod) => {
        const uid = pod.metadata?.uid ?? "";
        const known = workers.get(uid);
        if (known) return known.update(pod);
        workers.set(uid, new PodWorker(pod, deps));
      },
      onTrouble,
      onGone: (pod) => {
        const uid = pod.metadata?.uid ?? "";
        const worker = workers.get(uid);
        worker?.vanish();
        // Not before: a late event of a pod that is over must find its worker, not start it again.
        void worker?.done.then(() => workers.delete(uid));
      },
    },
    signal,
  );

  return {
    stop: async () => {
      stopping.abort();
      for (const worker of workers.values()) worker.kill();
      await Promise.all([...workers.values()].map(({ done }) => done));
      await closeServer();
      api.close();
    },
  };
}
