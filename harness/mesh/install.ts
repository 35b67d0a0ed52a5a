import type { V1CustomResourceDefinition, V1Pod } from "@kubernetes/client-node";
import { setTimeout as delay } from "node:timers/promises";
import { MeshproofError } from "../model/errors.ts";
import { applyManifest, applyManifests } from "./apply.ts";
import { messageOf, statusOf } from "./api-error.ts";
import type { Kube, Manifest } from "./client.ts";
import { waitFor, waitForDeployment } from "./wait.ts";
import type { Progress } from "../progress.ts";
import { hasProxyContainer } from "./proxy-container.ts";
import { ROOT_NAMESPACE } from "../model/cluster.ts";

export const GATEWAY = "istio-ingressgateway";

/** How long a Deployment of the mesh may take to become ready. */
const LIMIT_MS = 120_000;

/**
 * Applies Istio's manifests and waits until istiod is Ready and both of its webhooks respond. The ingress gateway
 * may still be starting: see {@link waitForGateway}.
 * @param options.istiod the name of istiod's Deployment, which ends with the revision if there is one
 * @throws ERR_CLUSTER_START or ERR_WORKLOAD_NOT_READY
 */
export async function installIstio(
  kube: Kube,
  manifests: readonly Manifest[],
  options: { progress: Progress; istiod?: string; signal?: AbortSignal },
): Promise<void> {
  options.progress("Installing Istio");
  await applyIstio(kube, manifests, options);
  await waitForIstio(kube, options);
}

/** Applies Istio's manifests: first its namespace and CRDs. */
export async function applyIstio(
  kube: Kube,
  manifests: readonly Manifest[],
  options: { readonly signal?: AbortSignal },
): Promise<void> {
  const signal = options.signal ? { signal: options.signal } : {};
  const isCrd = (manifest: Manifest): boolean => manifest.kind === "CustomResourceDefinition";
  const crds = manifests.filter(isCrd);
  const namespace: Manifest = { apiVersion: "v1", kind: "Namespace", metadata: { name: ROOT_NAMESPACE } };
  await Promise.all([applyManifest(kube, namespace, signal), applyManifests(kube, crds, signal)]);
  const rest = manifests.filter((manifest) => !isCrd(manifest));
  await Promise.all([untilEstablished(kube, crds, signal), applyManifests(kube, rest, signal)]);
}

/** Waits until istiod is Ready and both of its webhooks respond. @throws ERR_CLUSTER_START or ERR_WORKLOAD_NOT_READY */
export async function waitForIstio(
  kube: Kube,
  options: { readonly istiod?: string; readonly signal?: AbortSignal },
): Promise<void> {
  const signal = options.signal ? { signal: options.signal } : {};
  await waitForDeployment(kube, ROOT_NAMESPACE, options.istiod ?? "istiod", { limitMs: LIMIT_MS, ...signal });
  await untilWebhooksAnswer(kube, signal);
}

/** Waits until the ingress gateway is ready for requests. */
export async function waitForGateway(kube: Kube, options: { signal?: AbortSignal } = {}): Promise<void> {
  await waitForDeployment(kube, ROOT_NAMESPACE, GATEWAY, { limitMs: LIMIT_MS, ...options });
}

async function untilEstablished(
  kube: Kube,
  crds: readonly Manifest[],
  options: { signal?: AbortSignal },
): Promise<void> {
  const missing = (seen: ReadonlyMap<string, V1CustomResourceDefinition>): string[] =>
    crds
      .map(({ metadata }) => metadata.name)
      .filter(
        (name) =>
          !seen.get(`/${name}`)?.status?.conditions?.some((c) => c.type === "Established" && c.status === "True"),
      );
  await waitFor<V1CustomResourceDefinition, true>(
    kube,
    "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
    {},
    (seen) => (missing(seen).length === 0 ? true : undefined),
    {
      limitMs: LIMIT_MS,
      code: "ERR_CLUSTER_START",
      explain: (seen) => `these of Istio's resources are not served: ${missing(seen).join(", ")}`,
      ...options,
    },
  );
}

/** A pod that requests a sidecar by its own label, independent of its namespace. */
const PROBE_POD: V1Pod = {
  metadata: { generateName: "meshproof-injection-", labels: { "sidecar.istio.io/inject": "true" } },
  spec: { containers: [{ name: "app", image: "app" }] },
};

/** An object that the schema accepts and istiod rejects (istiod tests its own webhook with it before it fails closed). */
const INVALID_GATEWAY: Manifest = {
  apiVersion: "networking.istio.io/v1",
  kind: "Gateway",
  metadata: { name: "meshproof-validation", namespace: ROOT_NAMESPACE },
  spec: {},
};

/** Sends dry-run requests until the injection webhook injects and the validation webhook rejects. */
async function untilWebhooksAnswer(kube: Kube, options: { signal?: AbortSignal }): Promise<void> {
  const until = performance.now() + LIMIT_MS;
  for (const ask of [injects, validates]) {
    for (;;) {
      options.signal?.throwIfAborted();
      const problem = await ask(kube);
      if (problem === undefined) break;
      if (performance.now() > until) throw new MeshproofError("ERR_CLUSTER_START", problem);
      await delay(50);
    }
  }
}

async function injects(kube: Kube): Promise<string | undefined> {
  try {
    const pod = await kube.core.createNamespacedPod({ namespace: "default", body: PROBE_POD, dryRun: "All" });
    return hasProxyContainer(pod) ? undefined : "Istio's webhook injects no sidecar into a pod that asks for one";
  } catch (error) {
    return `Istio's injection webhook does not answer: ${messageOf(error)}`;
  }
}

async function validates(kube: Kube): Promise<string | undefined> {
  try {
    await kube.objects.apply(INVALID_GATEWAY, { dryRun: true });
    return "Istio's validation webhook accepts a Gateway without servers";
  } catch (error) {
    // A webhook that denies gives 400, one that does not respond gives 500.
    return statusOf(error) === 400 ? undefined : `Istio's validation webhook does not answer: ${messageOf(error)}`;
  }
}
