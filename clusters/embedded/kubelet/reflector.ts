import { setTimeout as delay } from "node:timers/promises";
import { type Api, ApiError, type KubeObject } from "./api.ts";

export interface ReflectorHandlers<T> {
  /** A new or changed object; after a relist also unchanged ones. */
  onObject(object: T): void;
  onGone(object: T): void;
  /** The watch broke and will be taken up again. */
  onTrouble(error: Error): void;
}

/** A list kept current by a watch. */
export interface Reflector<T> {
  get(namespace: string, name: string): T | undefined;
  values(): Iterable<T>;
}

/**
 * Lists and watches a resource until the signal; resolves once the first list is in.
 * @param path for example `/api/v1/configmaps`
 * @param query for example `fieldSelector=spec.nodeName%3Dnode`
 */
export async function reflect<T extends KubeObject>(
  api: Pick<Api, "get" | "watch">,
  path: string,
  query: string,
  handlers: ReflectorHandlers<T>,
  signal: AbortSignal,
): Promise<Reflector<T>> {
  const cache = new Map<string, T>();
  let version = "";

  const list = async (): Promise<void> => {
    const answer = await api.get<{ metadata: { resourceVersion: string }; items: T[] }>(`${path}?${query}`);
    const seen = new Map(answer.items.map((item) => [keyOf(item), item]));
    for (const [key, old] of cache)
      // The same name with another uid is another object.
      if (seen.get(key)?.metadata?.uid !== old.metadata?.uid) {
        cache.delete(key);
        handlers.onGone(old);
      }
    for (const [key, item] of seen) {
      cache.set(key, item);
      handlers.onObject(item);
    }
    version = answer.metadata.resourceVersion;
  };

  const watch = (): Promise<void> =>
    api.watch(
      `${path}?${query}&watch=true&allowWatchBookmarks=true&resourceVersion=${version}`,
      ({ type, object }) => {
        if (type === "ERROR") throw new ApiError(object.code ?? 0, object.message ?? "watch failed");
        version = object.metadata?.resourceVersion ?? version;
        if (type === "BOOKMARK") return;
        const item = object as T;
        if (type === "DELETED") {
          cache.delete(keyOf(item));
          handlers.onGone(item);
        } else {
          cache.set(keyOf(item), item);
          handlers.onObject(item);
        }
      },
      signal,
    );

  const follow = async (): Promise<void> => {
    for (let failures = 0; !signal.aborted;) {
      try {
        if (failures > 0) await list();
        await watch();
        failures = 0;
      } catch (error) {
        if (signal.aborted) return;
        handlers.onTrouble(error as Error);
        // The server is unavailable, or the version is too old (410): list again, with a growing pause.
        failures++;
        await delay(Math.min(100 * 2 ** failures, 5000), undefined, { signal }).catch(() => undefined);
      }
    }
  };

  for (;;) {
    try {
      await list();
      break;
    } catch (error) {
      if (error instanceof ApiError) throw error;
      await delay(100, undefined, { signal });
    }
  }
  void follow();
  return { get: (namespace, name) => cache.get(`${namespace}/${name}`), values: () => cache.values() };
}

function keyOf(object: KubeObject): string {
  return `${object.metadata?.namespace ?? ""}/${object.metadata?.name ?? ""}`;
}
