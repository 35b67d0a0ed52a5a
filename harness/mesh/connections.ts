import type { KubeConfig } from "@kubernetes/client-node";

/** What makes a connection to the API server; the client's types keep it to themselves. */
interface Dispatching {
  createDispatcher(cluster: unknown, options: object): object | undefined;
}

/**
 * Lets requests share connections. The client makes a pool for each request, and with it a TLS handshake, which takes longer
 * than most answers. A user's new certificate (of an exec plugin) gets a pool of its own.
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
