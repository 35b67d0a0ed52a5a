/**
 * Allows one meshproof at a time on a cluster. Two runs at once would affect each other's requests, so each takes a Lease
 * first and renews it while it works.
 */

import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { setTimeout as delay } from "node:timers/promises";
import { V1MicroTime, type V1Lease } from "@kubernetes/client-node";
import { MeshproofError } from "../harness/model/errors.ts";
import { statusOf } from "../harness/mesh/api-error.ts";
import type { Kube } from "../harness/mesh/client.ts";
import type { Progress } from "../harness/progress.ts";
import { LEASE, leaseServer, translated, type LeaseServer } from "./lease-server.ts";
import { lifeOf, thisProcess, type Life, type ProcessIdentity } from "./process.ts";

/** Annotation with the holder as JSON; a Lease without it is not meshproof's. */
const HOLDER = "meshproof.dev/holder";

/** Environment variable with the holder's identity, with which a child uses its parent's Lease. */
const LEASE_VARIABLE = "MESHPROOF_LEASE";

/** A holder is dead if its Lease did not change for this time, by the watcher's clock. */
const DURATION_MS = 60_000;
const RENEW_MS = 10_000;
/** Pause after a failed renewal, and between looks at another holder's Lease. */
const RETRY_MS = 2_000;
/** A holder that cannot renew stops well before another may take over, so that both never work at once. */
const GIVE_UP_MS = 45_000;
const REQUEST_MS = 10_000;

/** The holder in a Lease. */
export interface LeaseHolder {
  /** The run's id, or another id for other verbs. */
  readonly id: string;
  readonly verb: string;
  readonly hostname: string;
  /** Undefined if its machine has no /proc. */
  readonly process?: ProcessIdentity;
}

export interface LeaseOptions {
  readonly id: string;
  /** The verb: `run`, `cleanup`, … */
  readonly verb: string;
  /** What a refused user can do besides waiting, a clause: `choose another cluster: --name NAME`. */
  readonly otherwise?: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The identity of a holder that lends its Lease to this process. */
  readonly borrow?: string | undefined;
}

/** The clock and processes; tests replace them. */
export interface LeaseWorld {
  /** Milliseconds of a steady clock. */
  now(): number;
  /**
   * @param background whether the process may end during the wait
   * @throws what the signal was aborted with
   */
  wait(ms: number, options: { readonly signal?: AbortSignal | undefined; readonly background: boolean }): Promise<void>;
  lifeOf(process: ProcessIdentity): Life;
}

export interface HeldLease {
  readonly identity: string;
  /** Environment variables with which a child uses this Lease. */
  readonly forChild: Readonly<Record<string, string>>;
  /** Aborts, with a MeshproofError as its reason, if another process has it or it could not be renewed in time. */
  readonly lost: AbortSignal;
  /** When it was certainly held for the last time, by `performance.now()`. */
  heldAt(): number;
  /** Stops renewing, for a cluster that is being removed. */
  stop(): void;
  /** Stops renewing and removes it, if it is still this one. @throws ERR_CLUSTER_UNREACHABLE */
  release(): Promise<void>;
}

const WORLD: LeaseWorld = {
  now: () => performance.now(),
  wait: (ms, { signal, background }) => delay(ms, undefined, { ref: !background, ...(signal ? { signal } : {}) }),
  lifeOf,
};

/** Takes a cluster for one meshproof. @throws like {@link holdLease}. */
export function takeLease(kube: Kube, options: LeaseOptions): Promise<HeldLease> {
  return holdLease(leaseServer(kube), { borrow: process.env[LEASE_VARIABLE], ...options });
}

/**
 * Takes the Lease. A holder that is known to be dead is replaced at once; one of another machine after its Lease has not
 * changed for a minute, as in client-go: clocks of two machines are never compared.
 * @throws ERR_CLUSTER_BUSY if another meshproof uses the cluster; ERR_CLUSTER_REFUSED if this user may not;
 *   ERR_CLUSTER_UNREACHABLE; ERR_INTERRUPTED
 */
export async function holdLease(
  server: LeaseServer,
  options: LeaseOptions,
  world: LeaseWorld = WORLD,
): Promise<HeldLease> {
  const me: LeaseHolder = { id: options.id, verb: options.verb, hostname: hostname(), ...ownProcess() };
  const identity = `${options.id}_${randomUUID()}`;
  if (options.borrow !== undefined && (await holderOfNow(server)) === options.borrow)
    return borrowed(options.borrow, world);
  return renewing(server, identity, await take(server, identity, me, options, world), world);
}

function ownProcess(): { process?: ProcessIdentity } {
  const own = thisProcess();
  return own === undefined ? {} : { process: own };
}

async function holderOfNow(server: LeaseServer): Promise<string | undefined> {
  const found = await server.read(REQUEST_MS).catch((error: unknown) => {
    if (statusOf(error) === 404) return undefined;
    throw translated(error);
  });
  return found?.spec?.holderIdentity;
}

function borrowed(identity: string, world: LeaseWorld): HeldLease {
  const never = new AbortController().signal;
  return {
    identity,
    forChild: { [LEASE_VARIABLE]: identity },
    lost: never,
    heldAt: () => world.now(),
    stop: () => undefined,
    release: () => Promise.resolve(),
  };
}

interface Taken {
  readonly lease: V1Lease;
  /** When the request was sent that took it. */
  readonly sentAt: number;
}

async function take(
  server: LeaseServer,
  identity: string,
  me: LeaseHolder,
  options: LeaseOptions,
  world: LeaseWorld,
): Promise<Taken> {
  let watched: { readonly state: string; readonly since: number } | undefined;
  for (;;) {
    options.signal?.throwIfAborted();
    const sentAt = world.now();
    try {
      return { lease: await server.create(ours(undefined, identity, me), REQUEST_MS), sentAt };
    } catch (error) {
      if (statusOf(error) !== 409) throw translated(error);
    }
    let found: V1Lease;
    try {
      found = await server.read(REQUEST_MS);
    } catch (error) {
      if (statusOf(error) === 404) continue;
      throw translated(error);
    }
    // The client may repeat a request whose response was lost.
    if (found.spec?.holderIdentity === identity) return { lease: found, sentAt };
    const holder = holderOf(found);
    if (holder === undefined) throw foreign();
    const life = holder.process === undefined ? "unknown" : world.lifeOf(holder.process);
    if (life === "alive") throw busy(holder, options.otherwise);
    const state = stateOf(found);
    if (watched !== undefined && watched.state !== state) throw busy(holder, options.otherwise);
    if (watched === undefined && life === "unknown")
      options.progress(
        `${wordsOf(holder)} has this cluster: watching for at most ${DURATION_MS / 1000} s whether it lives`,
      );
    watched ??= { state, since: world.now() };
    if (life === "dead" || world.now() - watched.since >= DURATION_MS) {
      const replacedAt = world.now();
      try {
        return { lease: await server.replace(ours(found, identity, me), REQUEST_MS), sentAt: replacedAt };
      } catch (error) {
        // If two processes replace a dead holder, the API server rejects the second one, whose resourceVersion is old.
        if (statusOf(error) !== 409 && statusOf(error) !== 404) throw translated(error);
        continue;
      }
    }
    await world
      .wait(RETRY_MS, { signal: options.signal, background: false })
      .catch(() => options.signal?.throwIfAborted());
  }
}

function renewing(server: LeaseServer, identity: string, taken: Taken, world: LeaseWorld): HeldLease {
  let lease = taken.lease;
  let heldAt = taken.sentAt;
  const lost = new AbortController();
  const stopped = new AbortController();
  const left = (): number => heldAt + GIVE_UP_MS - world.now();
  const lose = (why: string): void => {
    if (!stopped.signal.aborted)
      lost.abort(
        new MeshproofError("ERR_CLUSTER_BUSY", `this run has lost the cluster: ${why}`, {
          hint: `kubectl get lease -n ${LEASE.namespace} ${LEASE.name} shows who has it`,
        }),
      );
  };
  /** @returns whether it is held. */
  const renew = async (): Promise<boolean> => {
    const sentAt = world.now();
    try {
      lease = await server.replace(ours(lease, identity), Math.min(REQUEST_MS, Math.max(1, left())));
    } catch (error) {
      if (statusOf(error) === 404) lose(`the Lease ${LEASE.namespace}/${LEASE.name} was removed`);
      // An earlier renewal succeeded without its response, a user changed the object, or another process has it.
      if (statusOf(error) !== 409) return false;
      const found = await server.read(Math.min(REQUEST_MS, Math.max(1, left()))).catch(() => undefined);
      if (found === undefined) return false;
      if (found.spec?.holderIdentity !== identity) {
        const holder = holderOf(found);
        lose(`${holder === undefined ? "another process" : wordsOf(holder)} has taken it`);
        return false;
      }
      lease = found;
      return false;
    }
    heldAt = sentAt;
    return true;
  };
  const loop = async (): Promise<void> => {
    let pause = RENEW_MS;
    while (!lost.signal.aborted && !stopped.signal.aborted) {
      const nap = { signal: stopped.signal, background: true };
      await world.wait(Math.max(0, Math.min(pause, left())), nap).catch(() => undefined);
      if (stopped.signal.aborted) return;
      if (left() <= 0) return lose(`the API server did not take a renewal for ${GIVE_UP_MS / 1000} s`);
      pause = (await renew()) ? RENEW_MS : RETRY_MS;
    }
  };
  const done = loop();
  return {
    identity,
    forChild: { [LEASE_VARIABLE]: identity },
    lost: lost.signal,
    heldAt: () => heldAt,
    stop: () => stopped.abort(),
    async release() {
      stopped.abort();
      await done;
      if (!lost.signal.aborted) await removeOwn(server, identity, lease);
    },
  };
}

async function removeOwn(server: LeaseServer, identity: string, last: V1Lease): Promise<void> {
  try {
    try {
      await server.remove(last, REQUEST_MS);
    } catch (error) {
      if (statusOf(error) !== 409) throw error;
      const found = await server.read(REQUEST_MS);
      if (found.spec?.holderIdentity === identity) await server.remove(found, REQUEST_MS);
    }
  } catch (error) {
    if (statusOf(error) !== 404) throw translated(error);
  }
}

/** The Lease of this process. @param found the Lease that it replaces */
function ours(found: V1Lease | undefined, identity: string, me?: LeaseHolder): V1Lease {
  const now = new V1MicroTime();
  const before = found?.spec;
  const kept = before?.holderIdentity === identity;
  return {
    metadata: {
      ...LEASE,
      ...(found?.metadata?.uid === undefined ? {} : { uid: found.metadata.uid }),
      ...(found?.metadata?.resourceVersion === undefined ? {} : { resourceVersion: found.metadata.resourceVersion }),
      labels: { "app.kubernetes.io/managed-by": "meshproof" },
      annotations: me === undefined ? { ...found?.metadata?.annotations } : { [HOLDER]: JSON.stringify(me) },
    },
    spec: {
      holderIdentity: identity,
      leaseDurationSeconds: DURATION_MS / 1000,
      acquireTime: kept ? (before.acquireTime ?? now) : now,
      renewTime: now,
      leaseTransitions: (before?.leaseTransitions ?? 0) + (found === undefined || kept ? 0 : 1),
    },
  };
}

/** The state that a live holder changes. The client returns the time as text. */
function stateOf({ metadata, spec }: V1Lease): string {
  return JSON.stringify([metadata?.uid, spec?.holderIdentity, spec?.renewTime, spec?.leaseTransitions]);
}

/** The current holder of the Lease if it is not known to be dead; does not take it. @throws the client's error */
export async function readHolder(kube: Kube): Promise<LeaseHolder | undefined> {
  try {
    const holder = holderOf(await leaseServer(kube).read(REQUEST_MS));
    return holder?.process !== undefined && lifeOf(holder.process) === "dead" ? undefined : holder;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** The holder of a Lease; undefined if it is not meshproof's. Any user may have written it. */
export function holderOf({ metadata }: V1Lease): LeaseHolder | undefined {
  try {
    const told = JSON.parse(metadata?.annotations?.[HOLDER] ?? "") as Partial<Record<keyof LeaseHolder, unknown>>;
    const { id, verb, hostname: host, process: its } = told;
    if (![id, verb, host].every((text) => typeof text === "string" && /^[\w.:-]{1,253}$/.test(text))) return undefined;
    const { host: where, pid, started } = (its ?? {}) as Partial<Record<keyof ProcessIdentity, unknown>>;
    const known = typeof where === "string" && Number.isSafeInteger(pid) && typeof started === "string";
    return {
      id: id as string,
      verb: verb as string,
      hostname: host as string,
      ...(known ? { process: { host: where, pid: pid as number, started } } : {}),
    };
  } catch {
    return undefined;
  }
}

/** `run 20261128-120000-a1b2 (process 4711 on build-7)` */
function wordsOf({ id, verb, hostname: host, process: its }: LeaseHolder): string {
  return `${verb} ${id} (${its === undefined ? "" : `process ${its.pid} `}on ${host})`;
}

function busy(holder: LeaseHolder, otherwise: string | undefined): MeshproofError {
  return new MeshproofError("ERR_CLUSTER_BUSY", `another meshproof is at work on this cluster: ${wordsOf(holder)}`, {
    hint: `wait until it has ended, or end it with ctrl-C${otherwise === undefined ? "" : `; or ${otherwise}`}`,
  });
}

function foreign(): MeshproofError {
  const { namespace, name } = LEASE;
  return new MeshproofError("ERR_CLUSTER_BUSY", `there is a Lease ${namespace}/${name} that meshproof did not make`, {
    hint: `if no run uses it: kubectl delete lease -n ${namespace} ${name}`,
  });
}
