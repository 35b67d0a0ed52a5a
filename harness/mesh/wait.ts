import { Watch, type KubernetesObject, type V1Deployment, type V1Pod } from "@kubernetes/client-node";
import { MeshproofError, type ErrorCode } from "../model/errors.ts";
import type { Kube } from "./client.ts";

/** How one watch ended; an `error` is the server's, and the next watch may do better. */
interface Outcome<R> {
  readonly value?: R;
  readonly thrown?: unknown;
  readonly error?: unknown;
}

/**
 * Waits until the objects of a collection (`/api/v1/namespaces/foo/pods`) satisfy a condition, by list and watch.
 * @param done given all objects by `namespace/name`; returns a value to end with, or undefined to go on.
 * @throws the given code with the text that `explain` returns for the last state, when the limit has passed; what `done` throws.
 */
export async function waitFor<T extends KubernetesObject, R>(
  kube: Kube,
  path: string,
  query: { labelSelector?: string; fieldSelector?: string },
  done: (objects: ReadonlyMap<string, T>) => R | undefined,
  options: {
    limitMs: number;
    code: ErrorCode;
    explain: (objects: ReadonlyMap<string, T>) => string;
    signal?: AbortSignal;
  },
): Promise<R> {
  const objects = new Map<string, T>();
  const watch = new Watch(kube.config);
  const until = performance.now() + options.limitMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const remaining = until - performance.now();
    if (remaining <= 0) {
      throw new MeshproofError(
        options.code,
        `${options.explain(objects)} (waited ${Math.round(options.limitMs / 1000)} s)`,
      );
    }
    objects.clear();
    const outcome = await new Promise<Outcome<R>>((resolve) => {
      let request: AbortController | undefined;
      let ended = false;
      const end = (result: Outcome<R>): void => {
        if (ended) return;
        ended = true;
        clearTimeout(timer);
        options.signal?.removeEventListener("abort", stop);
        request?.abort();
        resolve(result);
      };
      const stop = (): void => end({});
      const timer = setTimeout(stop, remaining);
      options.signal?.addEventListener("abort", stop, { once: true });
      // A watch without resourceVersion starts with an ADDED event for each existing object.
      watch
        .watch(
          path,
          { ...query },
          (type: string, object: T) => {
            const key = `${object.metadata?.namespace ?? ""}/${object.metadata?.name ?? ""}`;
            if (type === "ADDED" || type === "MODIFIED") objects.set(key, object);
            else if (type === "DELETED") objects.delete(key);
            else return;
            // The watch swallows what its callback throws.
            try {
              const value = done(objects);
              if (value !== undefined) end({ value });
            } catch (thrown) {
              end({ thrown });
            }
          },
          (error: unknown) => end({ error }),
        )
        .then((controller) => {
          request = controller;
          if (ended) controller.abort();
        })
        .catch((error: unknown) => end({ error }));
    });
    if ("thrown" in outcome) throw outcome.thrown;
    if (outcome.value !== undefined) return outcome.value;
    if (outcome.error) await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

function isReady(pod: V1Pod | undefined): boolean {
  return pod?.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
}

/** Waits until a pod is ready. */
export async function waitForPod(
  kube: Kube,
  namespace: string,
  name: string,
  options: { limitMs?: number; signal?: AbortSignal } = {},
): Promise<void> {
  await waitFor<V1Pod, true>(
    kube,
    `/api/v1/namespaces/${namespace}/pods`,
    { fieldSelector: `metadata.name=${name}` },
    (pods) => (isReady(pods.get(`${namespace}/${name}`)) ? true : undefined),
    {
      limitMs: options.limitMs ?? 120_000,
      code: "ERR_WORKLOAD_NOT_READY",
      ...(options.signal ? { signal: options.signal } : {}),
      explain: (pods) =>
        `Pod ${namespace}/${name} is not ready: ${pods.get(`${namespace}/${name}`)?.status?.phase ?? "it does not exist"}`,
    },
  );
}

/**
 * Waits until all new pods of a Deployment are available and all old ones are gone.
 * @param options.replicas how many pods its owner will demand, where that may not be in the Deployment yet
 */
export async function waitForDeployment(
  kube: Kube,
  namespace: string,
  name: string,
  options: { limitMs?: number; signal?: AbortSignal; replicas?: number | undefined } = {},
): Promise<void> {
  await waitFor<V1Deployment, true>(
    kube,
    `/apis/apps/v1/namespaces/${namespace}/deployments`,
    { fieldSelector: `metadata.name=${name}` },
    (objects) => {
      const deployment = objects.get(`${namespace}/${name}`);
      if (deployment === undefined || !isComplete(deployment)) return undefined;
      return options.replicas === undefined || deployment.spec?.replicas === options.replicas || undefined;
    },
    {
      limitMs: options.limitMs ?? 120_000,
      code: "ERR_WORKLOAD_NOT_READY",
      ...(options.signal ? { signal: options.signal } : {}),
      explain: (objects) => {
        const { status, spec } = objects.get(`${namespace}/${name}`) ?? {};
        const seen = status
          ? `${status.availableReplicas ?? 0} of ${options.replicas ?? spec?.replicas ?? 1} pods available`
          : "it does not exist";
        return `Deployment ${namespace}/${name} is not ready: ${seen}`;
      },
    },
  );
}

/** Whether all new pods of a Deployment are available and all old ones are gone. */
function isComplete({ metadata, spec, status }: V1Deployment): boolean {
  const current = (status?.observedGeneration ?? 0) >= (metadata?.generation ?? 1);
  // A status omits zeros.
  const counts = [status?.updatedReplicas, status?.replicas, status?.availableReplicas];
  return current && counts.every((count) => (count ?? 0) === (spec?.replicas ?? 1));
}

/** The Deployments of a namespace for which there is nothing to wait, by name: one request, where each wait is a connection. */
export async function completeDeployments(kube: Pick<Kube, "apps">, namespace: string): Promise<ReadonlySet<string>> {
  const { items } = await kube.apps.listNamespacedDeployment({ namespace });
  return new Set(items.filter(isComplete).map(({ metadata }) => metadata?.name ?? ""));
}

/** The ready pods that match a label selector, oldest first. */
export async function readyPods(kube: Kube, namespace: string, labelSelector: string): Promise<V1Pod[]> {
  const list = await kube.core.listNamespacedPod({ namespace, labelSelector });
  return list.items
    .filter((pod) => !pod.metadata?.deletionTimestamp && isReady(pod))
    .sort((a, b) => Number(a.metadata?.creationTimestamp ?? 0) - Number(b.metadata?.creationTimestamp ?? 0));
}
