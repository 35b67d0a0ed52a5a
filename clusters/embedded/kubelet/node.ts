import { readFileSync } from "node:fs";
import { availableParallelism, machine, release, totalmem } from "node:os";
import type { V1Node, V1NodeCondition } from "@kubernetes/client-node";
import { type Api, isStatus } from "./api.ts";
import { rfc3339 } from "./container-worker.ts";
import { pause } from "./deadline.ts";

export interface NodeOptions {
  readonly nodeName: string;
  readonly nodeIp: string;
  readonly podCidr: string;
  readonly port: number;
  readonly maxPods: number;
}

const LEASE_SECONDS = 40;
const RENEW_MS = 10_000;
const REPORT_MS = 300_000;

/** What a container without a limit may use. */
export function allocatable(): Record<string, number> {
  return { cpu: availableParallelism(), memory: Math.floor(totalmem() / 1024) * 1024 };
}

/** Makes the Node object, or takes it over, and marks it Ready. */
export async function registerNode(api: Api, options: NodeOptions): Promise<void> {
  const { gitVersion } = await api.get<{ gitVersion: string }>("/version");
  const path = `/api/v1/nodes/${options.nodeName}`;
  try {
    await api.create("/api/v1/nodes", {
      apiVersion: "v1",
      kind: "Node",
      metadata: {
        name: options.nodeName,
        labels: {
          "kubernetes.io/hostname": options.nodeName,
          "kubernetes.io/os": "linux",
          "kubernetes.io/arch": machine() === "aarch64" ? "arm64" : "amd64",
        },
      },
      spec: { podCIDR: options.podCidr, podCIDRs: [options.podCidr] },
    });
  } catch (error) {
    if (!isStatus(error, 409)) throw error;
  }
  await reportNode(api, options, gitVersion);
  // The API server's admission adds this taint to every new node; usually a controller removes it.
  const node = await api.get<V1Node>(path);
  const taints = node.spec?.taints ?? [];
  const rest = taints.filter(({ key }) => key !== "node.kubernetes.io/not-ready");
  if (rest.length < taints.length) await api.patch(path, { spec: { taints: rest.length ? rest : null } });
}

/** Keeps the node's lease and, more rarely, its status fresh until the signal. */
export async function keepNode(
  api: Api,
  options: NodeOptions,
  log: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const { gitVersion } = await api.get<{ gitVersion: string }>("/version");
  let reportedAt = performance.now();
  while (!signal.aborted) {
    try {
      await renewLease(api, options.nodeName);
      if (performance.now() - reportedAt > REPORT_MS) {
        await reportNode(api, options, gitVersion);
        reportedAt = performance.now();
      }
    } catch (error) {
      if (!signal.aborted) log(`node: lease not renewed: ${(error as Error).message}`);
    }
    await pause(RENEW_MS, signal);
  }
}

async function renewLease(api: Api, name: string): Promise<void> {
  const path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
  const renewTime = new Date().toISOString().replace("Z", "000Z");
  try {
    await api.patch(`${path}/${name}`, { spec: { renewTime } });
  } catch (error) {
    if (!isStatus(error, 404)) throw error;
    await api.create(path, {
      metadata: { name, namespace: "kube-node-lease" },
      spec: { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime },
    });
  }
}

async function reportNode(api: Api, options: NodeOptions, kubeletVersion: string): Promise<void> {
  // Without cgroups, a pod's resource requests limit nothing. The node reports far more resources than the machine has, so the
  // scheduler accepts every mesh that fits on a small machine.
  const resources = { cpu: "256", memory: "1Ti", pods: String(options.maxPods), "ephemeral-storage": "1Ti" };
  const now = rfc3339(new Date());
  const condition = (type: string, status: string, reason: string, message: string): V1NodeCondition =>
    ({ type, status, reason, message, lastHeartbeatTime: now, lastTransitionTime: now }) as unknown as V1NodeCondition;
  await api.patch(
    `/api/v1/nodes/${options.nodeName}/status`,
    {
      status: {
        capacity: resources,
        allocatable: resources,
        conditions: [
          condition("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
          condition("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
          condition("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
          condition("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
        ],
        addresses: [
          { type: "InternalIP", address: options.nodeIp },
          { type: "Hostname", address: options.nodeName },
        ],
        daemonEndpoints: { kubeletEndpoint: { Port: options.port } },
        // With it API server 1.36 speaks WebSocket to this kubelet, not SPDY.
        declaredFeatures: ["ExtendWebSocketsToKubelet"],
        nodeInfo: {
          architecture: machine() === "aarch64" ? "arm64" : "amd64",
          bootID: readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim(),
          containerRuntimeVersion: "meshproof://0.1.0",
          kernelVersion: release(),
          kubeProxyVersion: "",
          // Istio decides by this version whether it injects native sidecars.
          kubeletVersion,
          machineID: "",
          operatingSystem: "linux",
          osImage: "meshproof embedded (Debian packages)",
          systemUUID: "",
        },
      },
    },
    "strategic-merge",
  );
}
