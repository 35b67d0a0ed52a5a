/**
 * Runs on a cluster that contains many objects of other users, and ends the runs in every way: no foreign object may change, and
 * nothing of a run may be left. MESHPROOF_CANARY_RUNS is the number of runs (default: one for each way to end), MESHPROOF_CANARY_SEED
 * repeats the random moments.
 */

import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { createServer, connect, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { after, before, describe, it } from "node:test";
import { execa } from "execa";
import { killTree } from "../../tools/processes.ts";
import { runDirOf } from "../../clusters/embedded/run-dir.ts";
import { canaries, CANARY_KINDS, CANARY_LABEL, plantedJournal } from "../../clusters/existing/canary.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const NAME = `canary-${process.pid}`;
const CONTEXT = `meshproof-${NAME}`;

/** How a run ends. */
const WAYS = ["finished", "SIGINT", "SIGTERM", "kill -9", "terminal closed", "API server away", "disk full"] as const;
type Way = (typeof WAYS)[number];

const RUNS = Number(process.env["MESHPROOF_CANARY_RUNS"] ?? WAYS.length);
const SEED = Number(process.env["MESHPROOF_CANARY_SEED"] ?? Date.now() % 1_000_000);

/** mulberry32: a failure is repeated by its seed. */
let state = SEED;
function random(): number {
  state = (state + 0x6d2b79f5) | 0;
  let value = Math.imul(state ^ (state >>> 15), state | 1);
  value ^= value + Math.imul(value ^ (value >>> 7), value | 61);
  return ((value ^ (value >>> 14)) >>> 0) / 2 ** 32;
}

describe(`a cluster of other users, ${RUNS} runs, seed ${SEED}`, () => {
  let folder: string;
  let relay: Relay | undefined;
  let kubeconfig: string;
  let canary: string;
  let around: string;
  let homes = 0;
  /** How long a run takes that is not ended. */
  let wholeMs = 0;

  const kubectl = async (...args: string[]): Promise<string> => {
    const { exitCode, all } = await execa(process.execPath, ["cli/meshproof.mjs", "kubectl", "--name", NAME, ...args], {
      cwd: ROOT,
      all: true,
      reject: false,
    });
    assert.equal(exitCode, 0, all);
    return all;
  };
  const create = async (objects: readonly object[]): Promise<void> => {
    const file = path.join(folder, "canaries.json");
    await writeFile(file, JSON.stringify({ apiVersion: "v1", kind: "List", items: objects }));
    await kubectl("create", "-f", file);
  };
  const EACH = "{.kind} {.metadata.namespace}/{.metadata.name}";
  /** Every foreign object, with its uid and its version. */
  const look = async (): Promise<string> =>
    (
      await kubectl(
        ...["get", CANARY_KINDS, "-A", "-l", CANARY_LABEL, "-o"],
        `jsonpath={range .items[*]}${EACH} {.metadata.uid} {.metadata.resourceVersion}{"\\n"}{end}`,
      )
    )
      .split("\n")
      .sort()
      .join("\n");
  /** Everything of the kinds that a run uses, where it might leave something. */
  const lookAround = async (): Promise<string> =>
    (
      await kubectl(
        ...["get", `${CANARY_KINDS},pods`, "-A", "-l", `${CANARY_LABEL}!=yes`, "-o"],
        `jsonpath={range .items[*]}${EACH}{"\\n"}{end}`,
      )
    )
      .split("\n")
      .filter((line) => !/^(Lease kube-|Pod |Lease istio-system)/.test(line) || line.includes("meshproof"))
      .sort()
      .join("\n");
  const settled = async (): Promise<string> => {
    for (let last = await look(); ;) {
      await delay(2_000);
      const now = await look();
      if (now === last) return now;
      last = now;
    }
  };
  const where = (): string[] => ["--kubeconfig", kubeconfig, "--context", CONTEXT];
  const meshproof = (home: string, args: readonly string[], blocks = "unlimited") =>
    execa(
      "sh",
      // A write beyond the limit is refused, as on a full disk, where its signal is ignored.
      ["-c", `trap '' XFSZ; ulimit -f ${blocks}; exec "$0" "$@"`, process.execPath, "cli/meshproof.mjs", ...args],
      {
        ...{ cwd: ROOT, all: true, reject: false, env: { XDG_STATE_HOME: path.join(folder, home) } },
        // A signal of the terminal reaches its whole group.
        detached: true,
      },
    );

  const runAndEnd = async (way: Way): Promise<{ home: string; ended: string }> => {
    const home = `home-${++homes}`;
    const scenarios = ["jwt/request-authentication-alone", "authn/root-namespace"];
    const args = ["run", ...scenarios, "--cluster", "existing", ...where(), "--allow-mesh-wide"];
    const blocks = way === "disk full" ? String(6 + Math.floor(random() * 34)) : "unlimited";
    const startedAt = performance.now();
    const child = meshproof(home, [...args, "--results", path.join(folder, "results")], blocks);
    const done = child.then(({ exitCode, signal, all }) => ({ exitCode, signal, all }));
    if (way === "finished" || way === "disk full") {
      const { exitCode, all } = await done;
      if (way === "finished") {
        assert.equal(exitCode, 0, all);
        wholeMs = performance.now() - startedAt;
      } else assert.notEqual(exitCode, 0, all);
      return { home, ended: `exit code ${exitCode}` };
    }
    const moment = 1_000 + random() * Math.max(5_000, wholeMs - 1_000);
    await Promise.race([done, delay(moment)]);
    const pid = child.pid ?? 0;
    if (way === "API server away") {
      relay?.away();
      await delay(2_000 + random() * 10_000);
      relay?.back();
    } else if (way === "kill -9") await killTree(pid);
    else {
      if (way === "terminal closed") {
        child.stdout.destroy();
        child.stderr.destroy();
      }
      signalGroup(pid, way === "terminal closed" ? "SIGHUP" : way);
    }
    const { exitCode, signal } = await done;
    return { home, ended: `after ${(moment / 1000).toFixed(1)} s, ${signal ?? `exit code ${exitCode}`}` };
  };

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-canary-"));
    const kept = ["run", "jwt/request-authentication-alone", "--keep", "--name", NAME];
    const { exitCode, all } = await meshproof("owner", [...kept, "--results", path.join(folder, "results")]);
    assert.equal(exitCode, 0, all);
    const own = await readFile(runDirOf(NAME).kubeconfig, "utf8");
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(own)?.[1]);
    relay = await Relay.to(port);
    kubeconfig = path.join(folder, "kubeconfig");
    await writeFile(kubeconfig, own.replaceAll(`127.0.0.1:${port}`, `127.0.0.1:${relay?.port}`), { mode: 0o600 });
    await create(canaries());
    const victims = await Promise.all(
      [
        ["Namespace", ["namespace/prod"]],
        ["Secret", ["-n", "prod", "secret/own"]],
      ].map(async ([kind, args]) => ({
        kind: kind as string,
        uid: await kubectl("get", ...(args as string[]), "-o", "jsonpath={.metadata.uid}"),
      })),
    );
    await create([plantedJournal(victims)]);
    canary = await settled();
    around = await lookAround();
    assert.ok(canary.split("\n").length > 200);
  });
  after(async () => {
    relay?.stop();
    await meshproof("owner", ["down", "--name", NAME]);
    await rm(folder, { recursive: true });
  });

  const figures: string[] = [];
  for (let index = 0; index < RUNS; index++) {
    const way = WAYS[index % WAYS.length] as Way;
    it(`stays as it is: run ${index + 1}, ${way}`, async (t) => {
      const { home, ended } = await runAndEnd(way);
      // By who has the journal, by who has only the cluster, or by the next run.
      const others = ["same home", "another home", "another home", "next run", "same home", "another home"] as const;
      const by = way === "finished" ? "itself" : others[index % others.length];
      if (by === "same home" || by === "another home") {
        const cleanup = await meshproof(by === "same home" ? home : "stranger", ["cleanup", ...where()]);
        assert.equal(cleanup.exitCode, 0, cleanup.all);
      } else if (by === "next run") {
        const { exitCode, all } = await meshproof("next", [
          ...["run", "jwt/request-authentication-alone", "--cluster", "existing", ...where()],
          ...["--results", path.join(folder, "results")],
        ]);
        assert.equal(exitCode, 0, all);
      }
      const figure = `${way}: ${ended}, cleaned up by ${by}`;
      figures.push(figure);
      t.diagnostic(figure);
      assert.equal(await look(), canary, "a foreign object has changed");
      assert.equal(await lookAround(), around, "something of the run is left");
    });
  }

  it("gets a report about objects that only look like meshproof's, and they are not removed", async (t) => {
    t.diagnostic(`${figures.length} runs ended`);
    t.diagnostic(`${canary.split("\n").length - 1} foreign objects of ${CANARY_KINDS.split(",").length} kinds`);
    const { exitCode, all } = await meshproof("stranger", ["doctor", "--cluster", "existing", ...where()]);
    assert.equal(exitCode, 0, all);
    assert.match(all, /not removed, because it has .* but is in no journal of a run: .*Namespace meshproof-20260101/);
    assert.equal(await look(), canary);
  });
});

/** The way to the API server, which may be cut. */
class Relay {
  readonly port: number;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  #open = true;

  private constructor(server: Server) {
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  static async to(port: number): Promise<Relay> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const relay = new Relay(server);
    server.on("connection", (outside) => {
      if (!relay.#open) {
        outside.destroy();
        return;
      }
      const inside = connect(port, "127.0.0.1");
      for (const [socket, other] of [
        [outside, inside],
        [inside, outside],
      ] as const) {
        relay.#sockets.add(socket);
        socket.on("error", () => other.destroy());
        socket.on("close", () => {
          relay.#sockets.delete(socket);
          other.destroy();
        });
        socket.pipe(other);
      }
    });
    return relay;
  }

  away(): void {
    this.#open = false;
    for (const socket of this.#sockets) socket.destroy();
  }

  back(): void {
    this.#open = true;
  }

  stop(): void {
    this.away();
    this.#server.close();
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal);
  } catch {
    // It ended by itself.
  }
}
