/** The one Lease of a cluster at its API server. */

import { CoordinationV1Api, type KubeConfig, type V1Lease } from "@kubernetes/client-node";
import { MeshproofError } from "../harness/model/errors.ts";
import { messageOf, statusOf } from "../harness/mesh/api-error.ts";
import type { Kube } from "../harness/mesh/client.ts";

/**
 * The same on every kind of cluster, since a kubeconfig may name meshproof's own cluster or an existing one. Every cluster has
 * this namespace, so none has to be created or removed.
 */
export const LEASE = { namespace: "default", name: "run.meshproof.dev" } as const;

/** The one Lease, at an API server. A call fails with the client's error, after `limitMs` at the latest. */
export interface LeaseServer {
  create(lease: V1Lease, limitMs: number): Promise<V1Lease>;
  read(limitMs: number): Promise<V1Lease>;
  /** Fails with 409 if its resourceVersion is old. */
  replace(lease: V1Lease, limitMs: number): Promise<V1Lease>;
  /** Fails with 409 if it has another uid or resourceVersion. */
  remove(lease: V1Lease, limitMs: number): Promise<void>;
}

export function leaseServer(kube: Kube): LeaseServer {
  const { namespace, name } = LEASE;
  return {
    create: (body, limitMs) => within(kube, limitMs).createNamespacedLease({ namespace, body }),
    read: (limitMs) => within(kube, limitMs).readNamespacedLease({ namespace, name }),
    replace: (body, limitMs) => within(kube, limitMs).replaceNamespacedLease({ namespace, name, body }),
    async remove({ metadata }, limitMs) {
      const { uid, resourceVersion } = metadata ?? {};
      const preconditions = { ...(uid && { uid }), ...(resourceVersion && { resourceVersion }) };
      await within(kube, limitMs).deleteNamespacedLease({ namespace, name, body: { preconditions } });
    },
  };
}

/** A client whose requests end in time: an API server that hangs must not keep a holder from noticing it. */
function within({ config }: Kube, limitMs: number): CoordinationV1Api {
  const timed = Object.create(config) as KubeConfig;
  timed.applySecurityAuthentication = async (context) => {
    await config.applySecurityAuthentication(context);
    context.setSignal(AbortSignal.timeout(limitMs));
  };
  return timed.makeApiClient(CoordinationV1Api);
}

/** Why a request about the Lease failed. */
export function translated(error: unknown): unknown {
  if (error instanceof MeshproofError) return error;
  const { namespace, name } = LEASE;
  const status = statusOf(error);
  if (status === 401 || status === 403)
    return new MeshproofError(
      "ERR_CLUSTER_REFUSED",
      `this user may not hold the Lease ${namespace}/${name}: ${messageOf(error)}`,
      { cause: error },
    );
  return new MeshproofError(
    "ERR_CLUSTER_UNREACHABLE",
    `the API server does not give the Lease ${namespace}/${name}: ${messageOf(error)}`,
    { cause: error },
  );
}
