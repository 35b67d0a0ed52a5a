import { CoordinationV1Api, V1MicroTime, type V1Lease } from "@kubernetes/client-node";
import { MeshproofError } from "../../harness/errors.ts";
import { statusOf, type Kube } from "../../harness/kube/client.ts";

/** A namespace that holds the Lease while a run uses the cluster, and goes with it. */
export const LEASE_NAMESPACE = "meshproof";
export const LEASE_NAME = "run";

/** A run that does not renew for so long is dead. */
const DURATION_S = 60;
const RENEW_MS = 15_000;

export interface HeldLease {
  /** Aborts, with a MeshproofError as its reason, when somebody else holds it or it could not be renewed in time. */
  readonly lost: AbortSignal;
  /** Stops renewing; the objects are removed with all others of the run. */
  stop(): void;
}

/**
 * Takes the cluster for one run; its namespace must exist.
 * @throws ERR_CLUSTER_REFUSED where another run holds it.
 */
export async function holdLease(
  kube: Kube,
  runId: string,
  labels: Readonly<Record<string, string>>,
): Promise<HeldLease> {
  const api = kube.config.makeApiClient(CoordinationV1Api);
  const where = { namespace: LEASE_NAMESPACE, name: LEASE_NAME };
  let held = await take(api, runId, labels);
  let renewedAt = Date.now();
  const lost = new AbortController();
  const renew = async (): Promise<void> => {
    try {
      held = await api.replaceNamespacedLease({ ...where, body: renewed(held, runId) });
      renewedAt = Date.now();
    } catch (error) {
      const taken = statusOf(error) === 409 || statusOf(error) === 404;
      if (!taken && Date.now() - renewedAt < DURATION_S * 1000) return;
      clearInterval(timer);
      const why = taken ? "somebody else has taken or removed it" : `it was not renewed for ${DURATION_S} s`;
      lost.abort(
        new MeshproofError("ERR_CLUSTER_REFUSED", `the Lease ${LEASE_NAMESPACE}/${LEASE_NAME} is lost: ${why}`),
      );
    }
  };
  const timer = setInterval(() => void renew(), RENEW_MS);
  timer.unref();
  return { lost: lost.signal, stop: () => clearInterval(timer) };
}

async function take(api: CoordinationV1Api, runId: string, labels: Readonly<Record<string, string>>): Promise<V1Lease> {
  const where = { namespace: LEASE_NAMESPACE, name: LEASE_NAME };
  const fresh: V1Lease = { metadata: { ...where, labels: { ...labels } } };
  try {
    return await api.createNamespacedLease({ namespace: LEASE_NAMESPACE, body: renewed(fresh, runId) });
  } catch (error) {
    if (statusOf(error) !== 409) throw error;
  }
  const found = await api.readNamespacedLease(where);
  // The client gives this field as the text that it is on the wire.
  const renewedAt = Date.parse(String(found.spec?.renewTime ?? ""));
  const until = (Number.isNaN(renewedAt) ? 0 : renewedAt) + (found.spec?.leaseDurationSeconds ?? DURATION_S) * 1000;
  const holder = found.spec?.holderIdentity ?? "an unknown run";
  if (until > Date.now())
    throw new MeshproofError("ERR_CLUSTER_REFUSED", `another run is on this cluster: ${holder}`, {
      hint: `wait until it has ended; if it was killed, meshproof cleanup ${holder}`,
    });
  // Of two who take over a dead run's Lease, the API server refuses the second (its resourceVersion is old then).
  const body = renewed({ ...found, metadata: { ...found.metadata, labels: { ...labels } } }, runId);
  return await api.replaceNamespacedLease({ ...where, body });
}

function renewed(lease: V1Lease, runId: string): V1Lease {
  const now = new V1MicroTime();
  const acquireTime = lease.spec?.holderIdentity === runId ? (lease.spec.acquireTime ?? now) : now;
  const spec = { holderIdentity: runId, leaseDurationSeconds: DURATION_S, acquireTime, renewTime: now };
  return { ...lease, spec };
}
