import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Answer } from "../model/result.ts";
import { startConvergence } from "../verdict/index.ts";
import { prepare, type Prepared } from "./prepare.ts";
import type { Target } from "./places.ts";
import { probe, type Onlooker, type ProbingMesh } from "./probe.ts";
import { checkOf, fakeCurl, HTTPBIN, sidecar, SLEEP } from "./session.fixture.ts";

const GATEWAY: Target = { ...HTTPBIN, url: "http://ingress", proxies: [sidecar("gw", { kind: "gateway" })] };
const minting = { tokens: { mint: () => Promise.reject(new Error("no token")) } };

function requests(...paths: string[]): Promise<Prepared[]> {
  const located = paths.map((path) => ({ spec: checkOf(path), place: SLEEP, target: HTTPBIN }));
  return prepare(minting, located, { tokens: {} }, { ns: "foo", outsideIp: "" });
}

/** Ends after so many rounds. */
function watching(rounds: number): Onlooker<Answer> & { readonly flushed: Answer[]; readonly seen: Answer[][] } {
  const flushed: Answer[] = [];
  const seen: Answer[][] = [];
  return {
    ...{ flushed, seen },
    flush: (answers) => void flushed.push(...answers),
    add: ({ answers }) => (seen.push([...answers]) < rounds ? "continue" : "settled"),
    outcomes: () => [...(seen.at(-1) ?? [])],
  };
}

const options = { prefix: "meshproof/r/a/b/1", changed: false, appliedAt: performance.now() };

describe("probing", () => {
  it("sends every request once a round, each by a name of its own, until the answers are final", async () => {
    const { curl, sent } = fakeCurl((_, round) => (round < 3 ? 403 : 200));
    const checks = await requests("/a", "/b");
    const convergence = startConvergence({ checks: checks.map(({ spec }) => spec), rounds: 3, limitMs: 60_000 });
    const mesh = { curl, flushRequests: () => Promise.resolve(1) };
    const { outcomes, rounds } = await probe(mesh, checks, convergence, options);
    assert.equal(rounds, 5);
    assert.deepEqual(
      outcomes.map(({ status }) => status),
      ["passed", "passed"],
    );
    assert.deepEqual(
      sent[1]?.map(({ userAgent }) => userAgent),
      ["meshproof/r/a/b/1.1/2", "meshproof/r/a/b/1.2/2"],
    );
    assert.ok(sent.flat().every(({ alone }) => !alone));
  });

  it("flushes every worker of the proxies between first, on connections of their own, and judges none of that", async () => {
    const { curl, sent } = fakeCurl(({ alone }) => (alone ? 403 : 200));
    const watcher = watching(1);
    const asked: string[][] = [];
    const flushRequests = (proxies: readonly { readonly pod: string }[]): Promise<number> => {
      asked.push(proxies.map(({ pod }) => pod));
      return Promise.resolve(9);
    };
    const found = await probe({ curl, flushRequests }, await requests("/a", "/b"), watcher, {
      ...options,
      changed: true,
    });
    // Nine requests by this way, of which there are two; then the first round, which the same process sends.
    assert.equal(sent.length, 1);
    const [flush, first] = [sent[0]?.slice(0, -2) ?? [], sent[0]?.slice(-2) ?? []];
    assert.equal(flush.length, 10);
    assert.ok(flush.every(({ alone, userAgent }) => alone && userAgent.endsWith("/0")));
    assert.deepEqual(
      first.map(({ alone, userAgent }) => [alone, userAgent]),
      [
        [false, "meshproof/r/a/b/1.1/1"],
        [false, "meshproof/r/a/b/1.2/1"],
      ],
    );
    assert.deepEqual(asked, [["sleep-1", "sleep-1"]]);
    assert.deepEqual(
      watcher.flushed.map(({ status }) => status),
      [403, 403],
    );
    assert.deepEqual([found.rounds, found.outcomes.map(({ status }) => status)], [1, [200, 200]]);
  });

  it("counts a gateway's workers too, and each way for itself", async () => {
    const { curl, sent } = fakeCurl(() => 200);
    const [one] = await requests("/a");
    const asked: string[] = [];
    const flushRequests = (proxies: readonly { readonly pod: string }[]): Promise<number> => {
      asked.push(...proxies.map(({ pod }) => pod));
      return Promise.resolve(4);
    };
    assert.ok(one);
    const both = [one, { ...one, target: GATEWAY }];
    await probe({ curl, flushRequests }, both, watching(1), { ...options, changed: true });
    assert.deepEqual(asked, ["sleep-1", "sleep-1", "gw-1"]);
    assert.equal(sent[0]?.filter(({ alone }) => alone).length, 8);
  });

  it("flushes each host and path of a gateway by itself, as it may send them to different workloads", async () => {
    const flushed = async (target: typeof GATEWAY): Promise<number> => {
      const { curl, sent } = fakeCurl(() => 200);
      const mesh = { curl, flushRequests: () => Promise.resolve(4) };
      const all = (await requests("/a", "/b")).map((one) => ({ ...one, target }));
      await probe(mesh, all, watching(1), { ...options, changed: true });
      return sent[0]?.filter(({ alone }) => alone).length ?? 0;
    };
    assert.equal(await flushed(GATEWAY), 8);
    assert.equal(await flushed({ ...GATEWAY, proxies: [] }), 4);
  });

  it("first waits until the workers of a gateway have an endpoint, if a waypoint must be passed", async () => {
    const probed = async (target: typeof GATEWAY): Promise<readonly (readonly [number, string | undefined])[]> => {
      const { curl, sent } = fakeCurl((_, call) => (call < 3 ? 503 : 200));
      const mesh = { curl, flushRequests: () => Promise.resolve(1) };
      const all = (await requests("/a")).map((one) => ({ ...one, target }));
      const { outcomes } = await probe(mesh, all, watching(1), options);
      return outcomes.map(({ status }) => [status, sent.at(-1)?.at(-1)?.userAgent.split("/").at(-1)] as const);
    };
    assert.deepEqual(await probed({ ...GATEWAY, through: { name: "waypoint/own", proxies: [] } }), [[200, "1"]]);
    assert.deepEqual(await probed(GATEWAY), [[503, "1"]]);
  });

  it("says who answered, keeps headers that explain it, and what curl says where no answer came", async () => {
    const { curl } = fakeCurl(({ url }) => (url.endsWith("/a") ? 403 : 0));
    const mesh = { curl, flushRequests: () => Promise.resolve(1) };
    const { outcomes } = await probe(mesh, await requests("/a", "/b"), watching(1), options);
    assert.deepEqual(
      outcomes.map(({ status, by, headers, error }) => [status, by, headers, error]),
      [
        [403, "authorization", { server: "envoy" }, undefined],
        [0, "nobody", {}, "reset"],
      ],
    );
  });

  it("keeps a header that a check compares, joins repeated ones, and takes gRPC's message for a body", async () => {
    const head =
      "HTTP/2 200\r\nx-a: 1\r\nX-A: 2\r\nx-b: 3\r\ngrpc-status: 7\r\ngrpc-message: RBAC: access denied\r\n\r\n";
    const curl: ProbingMesh["curl"] = (_, config) => {
      const boundary = /--meshproof-[0-9a-f]+/.exec(config.toString())?.[0] ?? "";
      const info = JSON.stringify({ response_code: 200, time_total: 0.001, errormsg: null, exitcode: 0 });
      return Promise.resolve({ stdout: Buffer.from(`${head}\n${boundary} ${info}\n`), stderr: "", exitCode: 0 });
    };
    const mesh = { curl, flushRequests: () => Promise.resolve(1) };
    const compared = new Set(["x-a"]);
    const { outcomes } = await probe(mesh, await requests("/a"), watching(1), { ...options, compared });
    assert.deepEqual(
      outcomes.map(({ grpc, by, body, headers }) => [grpc, by, body, headers]),
      [
        [
          7,
          "authorization",
          "RBAC: access denied",
          { "x-a": "1, 2", "grpc-status": "7", "grpc-message": "RBAC: access denied" },
        ],
      ],
    );
  });

  it("sends nothing where there is nothing to send, and stops when the work is interrupted", async () => {
    const { curl, sent } = fakeCurl(() => 200);
    const mesh = { curl, flushRequests: () => Promise.resolve(1) };
    assert.deepEqual(await probe(mesh, [], watching(1), options), { outcomes: [], rounds: 0 });
    const interrupted = { ...options, signal: AbortSignal.abort(new Error("ctrl-C")) };
    await assert.rejects(probe(mesh, await requests("/a"), watching(1), interrupted), /ctrl-C/);
    assert.deepEqual(sent, []);
  });
});
