import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { ApiException, type V1Lease } from "@kubernetes/client-node";
import { execa } from "execa";
import { MeshproofError } from "../harness/model/errors.ts";
import { holderOf, holdLease, type HeldLease, type LeaseOptions, type LeaseWorld } from "./lease.ts";
import type { LeaseServer } from "./lease-server.ts";
import type { Life } from "./process.ts";

/** One Lease at an API server, and what may go wrong on the way to it. */
class Server implements LeaseServer {
  lease: V1Lease | undefined;
  /** What the next requests meet, in this order. */
  readonly trouble: ("no answer" | "answer lost" | "hangs" | undefined)[] = [];
  #version = 0;
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  create(lease: V1Lease, limitMs: number): Promise<V1Lease> {
    return this.#do(limitMs, () => {
      if (this.lease) throw new ApiException(409, "exists", "", {});
      return this.#store({ ...lease, metadata: { ...lease.metadata, uid: `uid-${this.#version}` } });
    });
  }

  read(limitMs: number): Promise<V1Lease> {
    return this.#do(limitMs, () => structuredClone(this.#there()));
  }

  replace(lease: V1Lease, limitMs: number): Promise<V1Lease> {
    return this.#do(limitMs, () => {
      if (this.#there().metadata?.resourceVersion !== lease.metadata?.resourceVersion)
        throw new ApiException(409, "old", "", {});
      return this.#store(lease);
    });
  }

  remove(lease: V1Lease, limitMs: number): Promise<void> {
    return this.#do(limitMs, () => {
      const { uid, resourceVersion } = this.#there().metadata ?? {};
      if (uid !== lease.metadata?.uid || resourceVersion !== lease.metadata?.resourceVersion)
        throw new ApiException(409, "other", "", {});
      this.lease = undefined;
    });
  }

  #there(): V1Lease {
    if (!this.lease) throw new ApiException(404, "not there", "", {});
    return this.lease;
  }

  #store(lease: V1Lease): V1Lease {
    // As on the wire: a time is a text.
    this.lease = JSON.parse(
      JSON.stringify({ ...lease, metadata: { ...lease.metadata, resourceVersion: `${++this.#version}` } }),
    ) as V1Lease;
    return structuredClone(this.lease);
  }

  async #do<T>(limitMs: number, act: () => T): Promise<T> {
    const trouble = this.trouble.shift();
    if (trouble === "no answer") throw new TypeError("fetch failed");
    if (trouble === "hangs") {
      await this.#world.wait(limitMs);
      throw new DOMException("timed out", "TimeoutError");
    }
    const result = act();
    if (trouble === "answer lost") throw new TypeError("fetch failed");
    return Promise.resolve(result);
  }
}

/** A clock that the test moves. */
class World implements LeaseWorld {
  life: Life = "unknown";
  #now = 1_000;
  #timers: { at: number; fire: () => void }[] = [];

  now(): number {
    return this.#now;
  }

  wait(ms: number, { signal }: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#timers.push({ at: this.#now + ms, fire: resolve });
      signal?.addEventListener("abort", () => reject(signal.reason as Error), { once: true });
    });
  }

  lifeOf(): Life {
    return this.life;
  }

  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    for (;;) {
      await settled();
      const [next] = this.#timers.filter(({ at }) => at <= end).sort((a, b) => a.at - b.at);
      if (!next) break;
      this.#timers = this.#timers.filter((timer) => timer !== next);
      this.#now = Math.max(this.#now, next.at);
      next.fire();
    }
    this.#now = end;
  }
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function stage() {
  const world = new World();
  const server = new Server(world);
  const lines: string[] = [];
  const hold = (id: string, more: Partial<LeaseOptions> = {}, its: LeaseWorld = world): Promise<HeldLease> =>
    holdLease(server, { id, verb: "run", progress: (line) => lines.push(line), ...more }, its);
  return { world, server, lines, hold };
}

const codeIs = (code: string, message?: RegExp) => (error: unknown) => {
  assert.ok(error instanceof MeshproofError, String(error));
  assert.equal(error.code, code);
  if (message) assert.match(error.message, message);
  return true;
};

test("it is taken, renewed, and removed", async () => {
  const { world, server, hold } = stage();
  const held = await hold("first");
  const first = server.lease?.spec?.renewTime;
  assert.equal(server.lease?.spec?.holderIdentity, held.identity);
  assert.equal(holderOf(server.lease)?.id, "first");
  await world.advance(10_000);
  assert.equal(held.heldAt(), 11_000);
  assert.equal(server.lease.metadata?.resourceVersion, "2");
  assert.notEqual(first, undefined);
  await held.release();
  assert.equal(server.lease, undefined);
  assert.equal(held.lost.aborted, false);
});

test("a second one is refused at once where the holder is known to live", async () => {
  const { world, hold } = stage();
  await hold("first");
  world.life = "alive";
  await assert.rejects(
    hold("second", { otherwise: "choose another" }),
    (error) =>
      codeIs("ERR_CLUSTER_BUSY", /another meshproof is at work on this cluster: run first \(process \d+ on /)(error) &&
      /ctrl-C; or choose another$/.test((error as MeshproofError).hint ?? ""),
  );
});

test("a holder that is known to be dead is followed at once", async () => {
  const { world, server, hold } = stage();
  (await hold("first")).stop();
  world.life = "dead";
  const held = await hold("second");
  assert.equal(server.lease?.spec?.holderIdentity, held.identity);
  assert.equal(server.lease.spec.leaseTransitions, 1);
  assert.equal(holderOf(server.lease)?.id, "second");
});

test("a holder of another machine is alive if its Lease changes, with any clock", async () => {
  const { world, server, lines, hold } = stage();
  const first = await hold("first");
  // As of a machine whose clock is years behind: only a change counts, never the time in it.
  const slow = server.replace.bind(server);
  server.replace = (lease, limitMs) =>
    slow(
      {
        ...lease,
        spec: { ...lease.spec, renewTime: `1999-01-01T00:00:0${Math.floor(world.now() / 10_000) % 10}Z` as never },
      },
      limitMs,
    );
  await world.advance(10_000);
  const second = hold("second");
  second.catch(() => undefined);
  await world.advance(25_000);
  await assert.rejects(second, codeIs("ERR_CLUSTER_BUSY", /run first/));
  assert.match(lines.join("\n"), /run first .* has this cluster: watching for at most 60 s whether it lives/);
  assert.equal(first.lost.aborted, false);
});

test("a holder of another machine is dead if its Lease does not change for a minute, with any clock", async () => {
  const { world, server, hold } = stage();
  (await hold("first")).stop();
  // Years ahead.
  (server.lease as V1Lease).spec = { ...server.lease?.spec, renewTime: "2999-01-01T00:00:00Z" as never };
  let second: HeldLease | undefined;
  void hold("second").then((held) => (second = held));
  await world.advance(59_000);
  assert.equal(second, undefined);
  await world.advance(4_000);
  assert.equal(server.lease?.spec?.holderIdentity, (second as HeldLease | undefined)?.identity);
});

test("a renewal whose response was lost, or that overlaps another, is not taken for another holder's", async () => {
  const { world, server, hold } = stage();
  const held = await hold("first");
  server.trouble.push("answer lost");
  await world.advance(12_000); // sent again, refused with 409, read: still ours
  await world.advance(2_000);
  assert.equal(held.lost.aborted, false);
  assert.equal(held.heldAt(), 15_000);
  // A user labels it.
  (server.lease as V1Lease).metadata = { ...server.lease?.metadata, resourceVersion: "77" };
  await world.advance(12_000);
  assert.equal(held.lost.aborted, false);
  assert.equal(held.heldAt(), 27_000);
});

test("it is lost when another one has it, and then left alone", async () => {
  const { world, server, hold } = stage();
  const first = await hold("first");
  const dead = new World();
  dead.life = "dead";
  const second = await hold("second", {}, dead);
  await world.advance(10_000);
  assert.ok(first.lost.aborted);
  codeIs("ERR_CLUSTER_BUSY", /this run has lost the cluster: run second .* has taken it/)(first.lost.reason);
  await first.release();
  assert.equal(server.lease?.spec?.holderIdentity, second.identity);
});

test("it is lost when a user removes it", async () => {
  const { world, server, hold } = stage();
  const held = await hold("first");
  server.lease = undefined;
  await world.advance(10_000);
  codeIs("ERR_CLUSTER_BUSY", /the Lease .* was removed/)(held.lost.reason);
});

test("a holder that cannot renew gives up before another may take over, also when requests hang", async () => {
  for (const trouble of ["no answer", "hangs"] as const) {
    const { world, server, hold } = stage();
    const held = await hold("first");
    server.trouble.push(...Array.from({ length: 100 }, () => trouble));
    await world.advance(44_000);
    assert.equal(held.lost.aborted, false);
    await world.advance(1_500);
    codeIs("ERR_CLUSTER_BUSY", /did not take a renewal for 45 s/)(held.lost.reason);
  }
});

test("a Lease of the same name that is not meshproof's is not touched", async () => {
  const { world, server, hold } = stage();
  const theirs: V1Lease = { metadata: { uid: "theirs", resourceVersion: "9" }, spec: { holderIdentity: "somebody" } };
  server.lease = theirs;
  world.life = "dead";
  await assert.rejects(hold("first"), codeIs("ERR_CLUSTER_BUSY", /that meshproof did not make/));
  assert.equal(server.lease, theirs);
});

test("a child works under its parent's Lease and does not end it", async () => {
  const { world, server, hold } = stage();
  const parent = await hold("upgrade");
  world.life = "alive";
  const child = await hold("child", { borrow: parent.identity });
  await child.release();
  assert.equal(server.lease?.spec?.holderIdentity, parent.identity);
  await assert.rejects(hold("other", { borrow: "of-another-cluster" }), codeIs("ERR_CLUSTER_BUSY"));
});

test("waiting for another machine's holder ends at the signal", async () => {
  const { world, hold } = stage();
  await hold("first");
  const stop = new AbortController();
  const second = hold("second", { signal: stop.signal });
  second.catch(() => undefined);
  await world.advance(1_000);
  stop.abort(new MeshproofError("ERR_INTERRUPTED", "interrupted"));
  await assert.rejects(second, codeIs("ERR_INTERRUPTED"));
});

test("what an unreadable holder says is never shown", () => {
  const lease = (holder: unknown): V1Lease => ({
    metadata: { annotations: { "meshproof.dev/holder": typeof holder === "string" ? holder : JSON.stringify(holder) } },
  });
  const good = { id: "a", verb: "run", hostname: "build-7" };
  assert.deepEqual(holderOf(lease(good)), good);
  for (const bad of [
    "{",
    "null",
    "[]",
    {},
    { ...good, id: "\u001b[2J" },
    { ...good, hostname: "a b" },
    { ...good, verb: 1 },
  ])
    assert.equal(holderOf(lease(bad)), undefined);
  assert.deepEqual(holderOf(lease({ ...good, process: { host: 1, pid: "x", started: null } })), good);
});

test("a watcher of another machine's holder waits until it knows", async () => {
  const module = path.join(import.meta.dirname, "lease.ts");
  const script = `
    import { holdLease } from ${JSON.stringify(module)};
    import { ApiException } from "@kubernetes/client-node";
    const holder = JSON.stringify({ id: "first", verb: "run", hostname: "elsewhere" });
    let reads = 0;
    const server = {
      create: () => Promise.reject(new ApiException(409, "exists", "", {})),
      read: () => Promise.resolve({
        metadata: { annotations: { "meshproof.dev/holder": holder } },
        spec: { holderIdentity: "first", renewTime: "time " + reads++ },
      }),
    };
    await holdLease(server, { id: "second", verb: "run", progress: () => undefined }).catch((e) => console.log(e.code));`;
  const { stdout } = await execa(process.execPath, ["--input-type=module", "--eval", script], {
    cwd: path.dirname(import.meta.dirname),
  });
  assert.equal(stdout, "ERR_CLUSTER_BUSY");
});
