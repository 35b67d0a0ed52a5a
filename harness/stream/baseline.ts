import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { V1Pod } from "@kubernetes/client-node";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../errors.ts";
import { applyManifests, parseManifests } from "../kube/apply.ts";
import type { Kube } from "../kube/client.ts";
import { execIn, type ContainerRef } from "../kube/exec.ts";
import { waitFor, waitForDeployment } from "../kube/wait.ts";
import { substitute } from "../scenario/index.ts";
import type { TokenFactory } from "../tokens/index.ts";
import type { StreamRequest } from "./send.ts";

/** The namespace of what the streams ask; it is in no scenario. */
export const STREAM_NAMESPACE = "meshproof-upgrade";

const ISSUER = "istio-sample";
const FILE = fileURLToPath(new URL("baseline.yaml", import.meta.url));
const CLIENT: ContainerRef = { namespace: STREAM_NAMESPACE, pod: "client", container: "curl" };

/** What must be admitted and what must be refused, ready to be asked. */
export interface Baseline {
  readonly client: ContainerRef;
  readonly requests: readonly StreamRequest[];
  /** Takes all of it away. */
  remove(): Promise<void>;
}

/**
 * Deploys workloads and policies of their own and waits until all of them answer as they must.
 * @param perSecond requests per second to be admitted, and as many to be refused, at the sidecar and at the gateway each
 * @throws MeshproofError ERR_WORKLOAD_NOT_READY
 */
export async function deployBaseline(options: {
  readonly kube: Kube;
  readonly handle: ClusterHandle;
  readonly tokens: TokenFactory;
  readonly perSecond: number;
  readonly signal?: AbortSignal;
}): Promise<Baseline> {
  const { kube, handle, tokens } = options;
  const signal = options.signal ? { signal: options.signal } : {};
  const jwks = await tokens.jwks(ISSUER);
  const refuse = (): never => {
    throw new Error("the baseline has no such value");
  };
  const manifests = parseManifests(
    substitute(await readFile(FILE, "utf8"), FILE, {
      ns: STREAM_NAMESPACE,
      jwks: () => jwks,
      jwksUri: refuse,
      outsideIp: "",
      outsideNs: handle.outsideNamespace,
      outsideHost: "",
    }),
  );
  const namespace = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: STREAM_NAMESPACE, labels: handle.injection },
  };
  await applyManifests(kube, [namespace, ...manifests], signal);
  for (const { kind, metadata } of manifests)
    if (kind === "Deployment") await waitForDeployment(kube, STREAM_NAMESPACE, metadata.name, signal);
  await waitFor<V1Pod, true>(
    kube,
    `/api/v1/namespaces/${STREAM_NAMESPACE}/pods`,
    { labelSelector: "app=client" },
    (pods) => {
      const conditions = pods.get(`${STREAM_NAMESPACE}/${CLIENT.pod}`)?.status?.conditions;
      return conditions?.some(({ type, status }) => type === "Ready" && status === "True") ? true : undefined;
    },
    { limitMs: 60_000, code: "ERR_WORKLOAD_NOT_READY", explain: () => "the streams' client is not ready", ...signal },
  );
  const requests = await requestsOf(handle, tokens, options.perSecond);
  await untilRight(kube, requests, signal);
  return {
    client: CLIENT,
    requests,
    async remove() {
      for (const manifest of [...manifests].reverse()) await kube.objects.remove(manifest, 0);
      await kube.objects.remove(namespace);
    },
  };
}

async function requestsOf(handle: ClusterHandle, tokens: TokenFactory, perSecond: number): Promise<StreamRequest[]> {
  const valid = await tokens.mint({ issuer: ISSUER });
  const forged = await tokens.mint({ issuer: ISSUER, signedBy: "stranger" });
  const half = Math.ceil(perSecond / 2); // curl takes whole numbers
  const bearer = (compact: string): [string, string][] => [["Authorization", `Bearer ${compact}`]];
  const places = [
    { place: "sidecar", url: `http://guarded.${STREAM_NAMESPACE}:8000/headers`, headers: [] },
    { place: "gateway", url: `${handle.ingressUrl}/headers`, headers: [["Host", "upgrade.meshproof.test"]] as const },
  ];
  return places.flatMap(({ place, url, headers }) => [
    { name: `${place}, valid token`, expected: 200, perSecond, url, headers: [...headers, ...bearer(valid.compact)] },
    { name: `${place}, no token`, expected: 403, perSecond: half, url, headers },
    {
      ...{ name: `${place}, forged token`, expected: 401, perSecond: half, url },
      headers: [...headers, ...bearer(forged.compact)],
    },
  ]);
}

/** How many rounds in a row must be right before anything counts. */
const ROUNDS = 3;
const LIMIT_MS = 60_000;

async function untilRight(
  kube: Kube,
  requests: readonly StreamRequest[],
  options: { signal?: AbortSignal },
): Promise<void> {
  const until = Date.now() + LIMIT_MS;
  for (let right = 0; right < ROUNDS;) {
    options.signal?.throwIfAborted();
    const wrong: string[] = [];
    for (const request of requests) {
      const got = await ask(kube, request);
      if (got !== request.expected) wrong.push(`${request.name}: ${got}, not ${request.expected}`);
    }
    right = wrong.length === 0 ? right + 1 : 0;
    if (wrong.length > 0 && Date.now() > until)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the streams cannot begin: ${wrong.join("; ")}`);
    if (wrong.length > 0) await delay(200);
  }
}

async function ask(kube: Kube, { url, headers }: StreamRequest): Promise<number> {
  const config = [`url = "${url}"`, ...headers.map(([name, value]) => `header = "${name}: ${value}"`)];
  const command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "5", "--config", "-"];
  const { stdout } = await execIn(kube, CLIENT, command, { stdin: config.join("\n") });
  return Number(stdout.toString("utf8"));
}

/** Containers of the streams' own namespace and the mesh's that started more than once: what they saw proves nothing. */
export async function findRestarts(kube: Kube): Promise<string[]> {
  const pods = [];
  for (const namespace of [STREAM_NAMESPACE, "istio-system"])
    pods.push(...(await kube.core.listNamespacedPod({ namespace })).items);
  return pods.flatMap(({ metadata, status }) =>
    [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])]
      .filter(({ restartCount }) => restartCount > 0)
      .map(
        ({ name, restartCount }) =>
          `${metadata?.namespace}/${metadata?.name} (container ${name}) restarted ${restartCount} times`,
      ),
  );
}
