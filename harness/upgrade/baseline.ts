import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import type { V1Pod } from "@kubernetes/client-node";
import { setTimeout as delay } from "node:timers/promises";
import type { ClusterHandle } from "../../clusters/cluster.ts";
import { MeshproofError } from "../model/errors.ts";
import { applyManifests } from "../mesh/apply.ts";
import type { Kube, Manifest } from "../mesh/client.ts";
import { execIn, type ContainerRef } from "../mesh/exec.ts";
import { waitFor, waitForDeployment } from "../mesh/wait.ts";
import { describeDisturbance } from "../../reports/words.ts";
import { findDeaths, readPods, type PodsSeen } from "../run/restarts.ts";
import { parseManifest, substitute } from "../scenario/index.ts";
import type { TokenFactory } from "../tokens/factory.ts";
import { curlConfig, readAnswer, steadyNow, type StreamRequest } from "./send.ts";
import { judgeAnswer, type StreamAnswer } from "./verdict.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

/** The namespace of the streams' workloads; no scenario uses it. */
export const STREAM_NAMESPACE = "meshproof-upgrade";

const ISSUER = "istio-sample";
const HOST: readonly [string, string] = ["Host", "upgrade.meshproof.test"];
const CLIENT: ContainerRef = { namespace: STREAM_NAMESPACE, pod: "client", container: "curl" };

/** Endpoints behind policies that must admit some requests and deny others. */
export interface Guarded {
  readonly client: ContainerRef;
  readonly requests: readonly StreamRequest[];
  /** Removes its objects. */
  remove(): Promise<void>;
}

export interface BaselineOptions {
  readonly kube: Kube;
  readonly handle: ClusterHandle;
  readonly tokens: TokenFactory;
  /** Requests per second that must be admitted, and as many that must be denied, at each endpoint. */
  readonly perSecond: number;
  readonly signal?: AbortSignal;
}

/**
 * Deploys a client, and workloads with policies at a sidecar and at their own gateway; waits until all of them give the
 * right answers. Scenarios may run at the same time.
 * @throws MeshproofError ERR_WORKLOAD_NOT_READY
 */
export async function deployBaseline(options: BaselineOptions): Promise<Guarded> {
  const { kube, handle } = options;
  const signal = options.signal ? { signal: options.signal } : {};
  const namespace = {
    apiVersion: "v1",
    kind: "Namespace",
    metadata: { name: STREAM_NAMESPACE, labels: handle.injection },
  };
  const manifests = await readGuarded("baseline.yaml", options);
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
  return guard(
    options,
    [namespace, ...manifests],
    [
      { place: "sidecar", url: `http://guarded.${STREAM_NAMESPACE}:8000/headers`, headers: [] },
      { place: "gateway", url: `http://gateway.${STREAM_NAMESPACE}/headers`, headers: [HOST] },
    ],
  );
}

/**
 * The same at the mesh's ingress gateway, in addition to {@link deployBaseline}. Scenarios that use this gateway must not run
 * at the same time: authentication there applies to all hosts.
 * @throws MeshproofError ERR_WORKLOAD_NOT_READY
 */
export async function guardIngress(options: BaselineOptions): Promise<Guarded> {
  const manifests = await readGuarded("ingress.yaml", options);
  await applyManifests(options.kube, manifests, options.signal ? { signal: options.signal } : {});
  const url = `${options.handle.ingressUrl}/headers`;
  return guard(options, manifests, [{ place: "ingress gateway", url, headers: [HOST] }]);
}

async function readGuarded(name: string, { handle, tokens }: BaselineOptions): Promise<Manifest[]> {
  const file = fileURLToPath(new URL(name, import.meta.url));
  const jwks = await tokens.jwks(ISSUER);
  const refuse = (): never => {
    throw new Error(`${name} has no such value`);
  };
  const values = { ns: STREAM_NAMESPACE, fresh: "", jwks: () => jwks, jwksUri: refuse, outsideIp: "", outsideHost: "" };
  const outsideNs = handle.outsideNamespace;
  return substitute(parseManifest(await readFile(file, "utf8"), name), { ...values, outsideNs }).objects;
}

interface Place extends Pick<StreamRequest, "url" | "headers"> {
  readonly place: string;
}

async function guard(
  { kube, tokens, perSecond, signal }: BaselineOptions,
  manifests: readonly Manifest[],
  places: readonly Place[],
): Promise<Guarded> {
  const valid = await tokens.mint({ issuer: ISSUER });
  // No key verifies it, so it is invalid for any issuer that a scenario trusts.
  const forged = await tokens.mint({ issuer: ISSUER }, "broken-signature");
  const half = Math.ceil(perSecond / 2); // curl takes whole numbers
  const bearer = (compact: string): [string, string] => ["Authorization", `Bearer ${compact}`];
  const requests = places.flatMap(({ place, url, headers }): StreamRequest[] => {
    const ask = { url, headers };
    return [
      { ...ask, name: `${place}, valid token`, expected: 200, perSecond, headers: [...headers, bearer(valid.compact)] },
      { ...ask, name: `${place}, no token`, expected: 403, perSecond: half },
      {
        ...ask,
        name: `${place}, forged token`,
        expected: 401,
        perSecond: half,
        headers: [...headers, bearer(forged.compact)],
      },
    ];
  });
  await untilRight(kube, requests, signal ? { signal } : {});
  return {
    client: CLIENT,
    requests,
    async remove() {
      for (const manifest of manifests.toReversed())
        await kube.objects.remove(manifest, manifest.kind === "Namespace" ? undefined : 0);
    },
  };
}

/** How many rounds in a row must be right before the streams start. */
const ROUNDS = 3;
const LIMIT_MS = 60_000;

async function untilRight(
  kube: Kube,
  requests: readonly StreamRequest[],
  options: { signal?: AbortSignal },
): Promise<void> {
  const until = steadyNow() + LIMIT_MS;
  for (let right = 0; right < ROUNDS;) {
    options.signal?.throwIfAborted();
    const wrong: string[] = [];
    for (const request of requests) {
      const got = await askOnce(kube, request);
      if (got === undefined || judgeAnswer(request, got) !== "right")
        wrong.push(
          `${request.name}: ${got === undefined ? "nothing" : `${got.status} from ${got.by}`}, not ${request.expected}`,
        );
    }
    right = wrong.length === 0 ? right + 1 : 0;
    if (wrong.length > 0 && steadyNow() > until)
      throw new MeshproofError("ERR_WORKLOAD_NOT_READY", `the streams cannot start: ${wrong.join("; ")}`);
    if (wrong.length > 0) await delay(200);
  }
}

async function askOnce(kube: Kube, request: StreamRequest): Promise<StreamAnswer | undefined> {
  const command = ["curl", "--config", "-"];
  const { stderr } = await execIn(kube, CLIENT, command, { stdin: curlConfig(request, 1) });
  return readAnswer(stderr.trimEnd(), 0, steadyNow());
}

/** The pods of the streams and those of the mesh. */
export async function readStreamPods(kube: Kube): Promise<PodsSeen> {
  return await readPods(kube, [{ namespace: STREAM_NAMESPACE }, { namespace: ROOT_NAMESPACE }]);
}

/** Containers that died since, one sentence each: the streams then prove nothing. A pod that the upgrade replaces is not a death. */
export async function findRestarts(kube: Kube, since: PodsSeen): Promise<string[]> {
  return findDeaths(since, await readStreamPods(kube)).map((death) => describeDisturbance(death, "the streams"));
}
