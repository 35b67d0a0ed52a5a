import type { V1ConfigMap, V1Pod, V1Secret } from "@kubernetes/client-node";
import { type Api, isStatus } from "./api.ts";
import { reflect, type Reflector } from "./reflector.ts";

export type ObjectKind = "configmaps" | "secrets";

/** `configmaps/name` */
export type ObjectRef = `${ObjectKind}/${string}`;

type Stored = V1ConfigMap | V1Secret;

/**
 * Config maps and secrets: watched, and read again when a pod starts, because a watch may lag behind a change that was
 * made just before the pod.
 */
export class Objects {
  readonly #api: Pick<Api, "get" | "watch">;
  readonly #watched = new Map<ObjectKind, Reflector<Stored>>();
  readonly #fresh = new Map<string, Stored>();

  private constructor(api: Pick<Api, "get" | "watch">) {
    this.#api = api;
  }

  /**
   * Watches both kinds until the signal; resolves once the first lists are in.
   * @param onChange called for every object that appeared, changed or went
   */
  static async watch(
    api: Pick<Api, "get" | "watch">,
    onChange: (kind: ObjectKind, namespace: string, name: string) => void,
    onTrouble: (error: Error) => void,
    signal: AbortSignal,
  ): Promise<Objects> {
    const objects = new Objects(api);
    await Promise.all(
      (["configmaps", "secrets"] as const).map(async (kind) => {
        const tell = (object: Stored): void => {
          objects.#settle(kind, object);
          onChange(kind, object.metadata?.namespace ?? "", object.metadata?.name ?? "");
        };
        const handlers = { onObject: tell, onGone: tell, onTrouble };
        objects.#watched.set(kind, await reflect<Stored>(api, `/api/v1/${kind}`, "", handlers, signal));
      }),
    );
    return objects;
  }

  /** Reads all that a pod refers to from the API server. */
  async fetch(namespace: string, refs: ReadonlySet<ObjectRef>): Promise<void> {
    await Promise.all(
      [...refs].map(async (ref) => {
        const [kind, name] = ref.split("/") as [ObjectKind, string];
        try {
          const object = await this.#api.get<Stored>(`/api/v1/namespaces/${namespace}/${kind}/${name}`);
          if (version(object) > version(this.#watched.get(kind)?.get(namespace, name)))
            this.#fresh.set(`${kind}/${namespace}/${name}`, object);
        } catch (error) {
          if (!isStatus(error, 404)) throw error;
        }
      }),
    );
  }

  get(kind: ObjectKind, namespace: string, name: string): Stored | undefined {
    const watched = this.#watched.get(kind)?.get(namespace, name);
    const fresh = this.#fresh.get(`${kind}/${namespace}/${name}`);
    return fresh && version(fresh) > version(watched) ? fresh : watched;
  }

  /** An event of a watch is newer than an object that was read before. */
  #settle(kind: ObjectKind, object: Stored): void {
    const key = `${kind}/${object.metadata?.namespace}/${object.metadata?.name}`;
    if (version(object) >= version(this.#fresh.get(key))) this.#fresh.delete(key);
  }
}

/** Versions of the same resource can be compared (Kubernetes 1.35, KEP-5504). */
function version(object: Stored | undefined): number {
  return Number(object?.metadata?.resourceVersion ?? -1);
}

/** The config maps and secrets that a pod's volumes and environments name. */
export function referencesOf(pod: V1Pod): Set<ObjectRef> {
  const refs = new Set<ObjectRef>();
  const add = (kind: ObjectKind, name: string | undefined): void => {
    if (name) refs.add(`${kind}/${name}`);
  };
  for (const { configMap, secret, projected } of pod.spec?.volumes ?? []) {
    add("configmaps", configMap?.name);
    add("secrets", secret?.secretName);
    for (const source of projected?.sources ?? []) {
      add("configmaps", source.configMap?.name);
      add("secrets", source.secret?.name);
    }
  }
  for (const container of [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])]) {
    for (const { configMapRef, secretRef } of container.envFrom ?? []) {
      add("configmaps", configMapRef?.name);
      add("secrets", secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add("configmaps", valueFrom?.configMapKeyRef?.name);
      add("secrets", valueFrom?.secretKeyRef?.name);
    }
  }
  return refs;
}
