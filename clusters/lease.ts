/**
 * One meshproof at a time on a cluster. Two runs at once would judge each other's policies, so each asks for a Lease first
 * and renews it while it works.
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

/** Who holds it, as JSON; a Lease without it is not meshproof's. */
const HOLDER = "meshproof.dev/holder";

/** The environment variable by which a child works under its parent's Lease: the holder's identity. */
const LEASE_VARIABLE = "MESHPROOF_LEASE";

/** Whose Lease did not change for so long, by the clock of who watches it, is dead. */
const DURATION_MS = 60_000;
const RENEW_MS = 10_000;
/** After a renewal that failed, and while somebody else's Lease is watched. */
const RETRY_MS = 2_000;
/** Who cannot renew stops well before another may take over, so that the two never work at once. */
const GIVE_UP_MS = 45_000;
const REQUEST_MS = 10_000;

/** What a Lease says of its holder. */
export interface LeaseHolder {
  /** The run's id, or what stands for it. */
  readonly id: string;
  readonly verb: string;
  readonly hostname: string;
  /** Undefined where its machine has no /proc. */
  readonly process?: ProcessIdentity;
}

export interface LeaseOptions {
  readonly id: string;
  /** What is done under it: `run`, `cleanup`, … */
  readonly verb: string;
  /** What who is refused can do besides waiting, a clause: `choose another cluster: --name NAME`. */
  readonly otherwise?: string;
  readonly progress: Progress;
  readonly signal?: AbortSignal | undefined;
  /** The identity of a holder that lends its Lease to this process. */
  readonly borrow?: string | undefined;
}

/** What is not this process's to decide; tests have their own. */
export interface LeaseWorld {
  /** Milliseconds of a clock that nobody sets. */
  now(): number;
  /**
   * @param background whether the process may end meanwhile
   * @throws what the signal was aborted with
   */
  wait(ms: number, options: { readonly signal?: AbortSignal | undefined; readonly background: boolean }): Promise<void>;
  lifeOf(process: ProcessIdentity): Life;
}

export interface HeldLease {
  readonly identity: string;
  /** Environment variables by which a child works under this Lease. */
  readonly forChild: Readonly<Record<string, string>>;
  /** Aborts, with a MeshproofError as its reason, when somebody else has it or it could not be renewed in time. */
  readonly lost: AbortSignal;
  /** When it was certainly held for the last time, by `performance.now()`. */
  heldAt(): number;
  /** Stops renewing, for a cluster that goes: nobody will ask for it. */
  stop(): void;
  /** Stops renewing and removes it, if it is still this one. @throws ERR_CLUSTER_UNREACHABLE */
  release(): Promise<void>;
}

const WORLD: LeaseWorld = {
  now: () => performance.now(),
  wait: (ms, { signal, background }) => delay(ms, undefined, { ref: !background, ...(signal ? { signal } : {}) }),
  lifeOf,
};

/** Takes a cluster for one meshproof. @throws as {@link holdLease}. */
export function takeLease(kube: Kube, options: LeaseOptions): Promise<HeldLease> {
  return holdLease(leaseServer(kube), { borrow: process.env[LEASE_VARIABLE], ...options });
}

/**
 * Takes the Lease. A holder that is known to be dead is followed at once; one of another machine when its Lease has not
 * changed for a minute, as client-go does it: clocks of two machines are never compared.
 * @throws ERR_CLUSTER_BUSY where another meshproof is at work; ERR_CLUSTER_REFUSED where this user may not;
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
  /** When the request was sent that made it ours. */
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
    // The client may send a request again whose answer was lost.
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
        // Of two who follow a dead holder the API server refuses the second, whose resourceVersion is old.
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
        new MeshproofError("ERR_CLUSTER_BUSY", `this cluster is not ours any more: ${why}`, {
          hint: `kubectl get lease -n ${LEASE.namespace} ${LEASE.name} says who has it`,
        }),
      );
  };
  /** @returns whether it is held. */
  const renew = async (): Promise<boolean> => {
    const sentAt = world.now();
    try {
      lease = await server.replace(ours(lease, identity), Math.min(REQUEST_MS, Math.max(1, left())));
    } catch (error) {
      if (statusOf(error) === 404) lose(`somebody has removed the Lease ${LEASE.namespace}/${LEASE.name}`);
      // An earlier renewal came through without its answer, somebody labelled it, or another one has it.
      if (statusOf(error) !== 409) return false;
      const found = await server.read(Math.min(REQUEST_MS, Math.max(1, left()))).catch(() => undefined);
      if (found === undefined) return false;
      if (found.spec?.holderIdentity !== identity) {
        const holder = holderOf(found);
        lose(`${holder === undefined ? "somebody else" : wordsOf(holder)} has taken it`);
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

/** The Lease as this process holds it. @param found what it replaces */
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

/** What changes when a holder lives. The client gives the time as the text that it is on the wire. */
function stateOf({ metadata, spec }: V1Lease): string {
  return JSON.stringify([metadata?.uid, spec?.holderIdentity, spec?.renewTime, spec?.leaseTransitions]);
}

/** Who has the Lease now and is not known to be dead; takes nothing. @throws what the client throws */
export async function readHolder(kube: Kube): Promise<LeaseHolder | undefined> {
  try {
    const holder = holderOf(await leaseServer(kube).read(REQUEST_MS));
    return holder?.process !== undefined && lifeOf(holder.process) === "dead" ? undefined : holder;
  } catch (error) {
    if (statusOf(error) === 404) return undefined;
    throw error;
  }
}

/** Who holds a Lease; undefined where it is not meshproof's. Anybody may have written it. */
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
