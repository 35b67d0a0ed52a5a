import type { KubeConfig } from "@kubernetes/client-node";

/** The method that makes connections to the API server; the client does not export its type. */
interface Dispatching {
  createDispatcher(cluster: unknown, options: object): object | undefined;
}

/**
 * Lets requests share connections. By default the client makes a pool, and so a TLS handshake, for each request; the
 * handshake takes longer than most responses. A new client certificate (of an exec plugin) gets a new pool.
 */
export function shareConnections(config: KubeConfig): void {
  const inner = config as unknown as Dispatching;
  const create = inner.createDispatcher.bind(config);
  const pools = new Map<string, object | undefined>();
  inner.createDispatcher = (cluster, options) => {
    const key = JSON.stringify([cluster, options]);
    if (!pools.has(key)) pools.set(key, create(cluster, options));
    return pools.get(key);
  };
}
