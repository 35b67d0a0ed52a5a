import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Answer } from "../model/result.ts";
import { observe, watchAnswers, type ObservedMesh } from "./observe.ts";
import { prepare, type Prepared } from "./prepare.ts";
import { checkOf, fakeCurl, fakeSession, HTTPBIN, SLEEP } from "./session.fixture.ts";

const answer = (status: number, by: Answer["by"] = "workload"): Answer => ({
  ...{ status, by, body: "", headers: {}, totalMs: 1 },
});

/** What becomes of rounds of answers, 100 ms apart or at the times given. */
function watch(rounds: readonly (readonly Answer[])[], every = 100): { states: string[]; settled: boolean[] } {
  const watcher = watchAnswers();
  const states = rounds.map((answers, index) => watcher.add({ atMs: (index + 1) * every, answers }));
  return { states, settled: watcher.outcomes().map(({ settled }) => settled) };
}

describe("answers", () => {
  it("are final when three rounds in a row bring the same", () => {
    const [a, b] = [answer(200), answer(403, "authorization")];
    assert.deepEqual(watch([[a], [a], [a]]), { states: ["continue", "continue", "settled"], settled: [true] });
    assert.deepEqual(watch([[a], [b], [b], [b]]).states, ["continue", "continue", "continue", "settled"]);
    assert.deepEqual(
      watch([
        [a, a],
        [a, b],
        [a, b],
        [a, b],
      ]).states.at(-1),
      "settled",
    );
    assert.deepEqual(
      watch([
        [a, a],
        [a, b],
        [a, a],
      ]),
      {
        states: ["continue", "continue", "continue"],
        settled: [true, false],
      },
    );
  });

  it("by a proxy itself, or none at all, may still change, for a moment", () => {
    const lost = answer(503, "proxy");
    assert.deepEqual(watch([[lost], [lost], [lost], [lost]]).states.at(-1), "continue");
    assert.deepEqual(watch([[lost], [lost], [lost], [lost]], 500).states, [
      "continue",
      "continue",
      "settled",
      "settled",
    ]);
    assert.equal(watch([[lost], [lost], [answer(200)], [answer(200)], [answer(200)]]).states.at(-1), "settled");
  });

  it("that keep changing are returned as they are at the limit", () => {
    const [a, b] = [answer(200), answer(403, "authorization")];
    assert.deepEqual(watch([[a], [b], [a], [b]], 2_000), {
      states: ["continue", "continue", "gave-up", "gave-up"],
      settled: [false],
    });
  });
});

describe("observing", async () => {
  const minting = { tokens: { mint: () => Promise.reject(new Error("no token")) } };
  const spec = checkOf("/a", { cell: { matrix: 0, row: 0, column: 0 } });
  const requests: Prepared[] = await prepare(
    minting,
    [{ spec, place: SLEEP, target: HTTPBIN }],
    { tokens: {} },
    { ns: "foo", outsideIp: "" },
  );
  const options = { prefix: "meshproof/r/t/t/1", changed: true, appliedAt: performance.now() };
  const RULE = "rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]]";

  function meshOf(
    status: number,
    dump: () => Promise<unknown>,
  ): { readonly mesh: ObservedMesh; readonly waited: string[] } {
    const waited: string[] = [];
    const session = fakeSession({ curl: fakeCurl(() => status).curl, dump });
    const accessLog = {
      ...session.accessLog,
      wait: (agents: readonly string[]) => Promise.resolve(void waited.push(...agents)),
      find: () => ({ details: status === 403 ? RULE : "via_upstream" }),
    };
    return { mesh: { ...session, accessLog }, waited };
  }

  it("gives the last answer with its details, and judges nothing", async () => {
    const { mesh, waited } = meshOf(403, () => Promise.reject(new Error("no dump")));
    const [found] = await observe(mesh, requests, options);
    assert.deepEqual(waited, ["meshproof/r/t/t/1.1/3"]);
    assert.deepEqual([found?.got.status, found?.got.by, found?.got.details], [403, "authorization", RULE]);
    assert.deepEqual([found?.settled, found?.explanation, found?.cell], [true, undefined, spec.cell]);
    assert.deepEqual(found?.request.tokens, []);
    assert.ok(!("status" in (found ?? {})) && !("expected" in (found ?? {})));
  });

  it("explains every answer by the judging proxy's config, which is read once", async () => {
    let dumps = 0;
    const { mesh } = meshOf(200, () => Promise.resolve((dumps++, { configs: [] })));
    const found = await observe(mesh, [...requests, ...requests], options);
    assert.equal(dumps, 1);
    assert.equal(found.length, 2);
    assert.ok(found.every(({ explanation }) => explanation !== undefined));
  });
});
