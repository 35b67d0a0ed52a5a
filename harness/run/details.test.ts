import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Answer, CheckResult, ScenarioResult, Status } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import type { Logged } from "../verdict/index.ts";
import type { AccessLog } from "./access-log.ts";
import { judgeDemands } from "./details.ts";
import { createReviewer } from "./review.ts";
import type { Proxy, Target } from "./places.ts";

const RULE = "rbac_access_denied_matched_policy[ns[foo]-policy[p]-rule[0]]";
const TARGET: Target = { url: "http://httpbin.foo:8000", readyPods: 1, proxies: [], behind: [] };
const PROXY: Proxy = { namespace: "foo", pod: "g", ip: "", labels: {}, serviceAccount: "", kind: "gateway" };
const position = { file: "scenario.yaml", line: 1, column: 1 };

function check(name: string, expected: Partial<Expectation>, status: Status = "passed"): CheckResult {
  const got: Answer = {
    ...{ status: 403, by: "authorization", body: "RBAC: access denied", headers: {}, totalMs: 1 },
    userAgent: `meshproof/run/a/b/1.${name}/3`,
  };
  const request = { from: "sleep", to: "httpbin", method: "GET", url: "http://httpbin.foo:8000/", tokens: [] };
  const more = { enforcedMs: 1, changes: [], curl: "" };
  return { name, position, request, expected: { status: 403, by: "authorization", ...expected }, got, status, ...more };
}

/** Lines by the number of a check; what is not here cannot be read. */
function logWith(lines: Record<string, string>): AccessLog & { waitedFor: string[]; lines: Record<string, string> } {
  const waitedFor: string[] = [];
  const find = (userAgent: string): Logged => {
    const details = lines[/\.(\w+)\/3$/.exec(userAgent)?.[1] ?? ""];
    return details === undefined
      ? { missing: [{ kind: "unreadable", proxy: { namespace: "foo", pod: "x" }, error: "gone" }] }
      : { details };
  };
  const wait = (userAgents: readonly string[]): Promise<void> => Promise.resolve(void waitedFor.push(...userAgents));
  const nothing = (): void => undefined;
  return { follow: nothing, expect: nothing, find, wait, drop: nothing, close: nothing, waitedFor, lines };
}

describe("demands on the access log", () => {
  it("are judged before the step ends, each check by its own line, and nothing else is waited for", async () => {
    const log = logWith({ right: RULE, wrong: RULE, plain: RULE });
    const checks = [
      check("right", { policy: "p" }),
      check("wrong", { policy: "some-other-policy" }),
      check("gone", { details: "policy[p]" }),
      check("plain", {}),
      check("failed", { policy: "p" }, "failed"),
    ];
    const judged = await judgeDemands(
      log,
      checks.map((result) => ({ result, target: TARGET })),
    );
    assert.deepEqual(
      judged.map(({ result: { status } }) => status),
      ["passed", "failed", "error", "passed", "failed"],
    );
    assert.match(
      judged[2]?.result.reason ?? "",
      /could not be judged: .* the access log of foo\/x cannot be read: gone/,
    );
    assert.deepEqual(
      log.waitedFor.map((userAgent) => /\.(\w+)\/3$/.exec(userAgent)?.[1]),
      ["right", "wrong", "gone"],
    );
  });

  it("of the waypoint that a request must pass: without its line a right answer fails, and one that cannot be read is an error", async () => {
    const through = { name: "waypoint/w", proxies: [{ ...PROXY, pod: "w" }] };
    const expected: (readonly [string, readonly Proxy[]])[] = [];
    const log = {
      ...logWith({ passed: "via_upstream" }),
      expect: (agent: string, proxies: readonly Proxy[]) => void expected.push([agent, proxies]),
    };
    const find = (agent: string): Logged =>
      agent.includes(".bypassed/")
        ? { missing: [{ kind: "no-line", proxies: [{ namespace: "foo", pod: "w" }] }] }
        : logWith({ passed: "via_upstream" }).find(agent);
    const judged = await judgeDemands(
      { ...log, find },
      ["passed", "bypassed", "gone"].map((name) => {
        const { request, got, ...rest } = check(name, { status: 200, by: "workload" });
        const result = {
          ...rest,
          request: { ...request, to: "ingress", through: through.name },
          got: { ...got, status: 200, by: "workload" as const, body: "" },
        };
        return { result, target: { ...TARGET, proxies: [...through.proxies, PROXY], through } };
      }),
    );
    assert.deepEqual(
      judged.map(({ result: { status, findings } }) => [status, findings?.[0]?.kind]),
      [
        ["passed", undefined],
        ["failed", "bypassed"],
        ["error", "not-judged"],
      ],
    );
    assert.match(judged[1]?.result.reason ?? "", /did not pass waypoint\/w: the access log of foo\/w has no line/);
    assert.match(judged[2]?.result.reason ?? "", /it demands the passage through waypoint\/w/);
    assert.ok(expected.every(([, proxies]) => proxies === through.proxies));
  });

  it("of an external authorizer's denial: only the log shows who denied", async () => {
    const refused = { details: "ext_authz_denied" };
    const log = logWith({ denied: "ext_authz_denied", own: "via_upstream" });
    const judged = await judgeDemands(
      log,
      ["denied", "own", "gone"].map((name) => ({ result: check(name, refused), target: TARGET })),
    );
    assert.deepEqual(
      judged.map(({ result: { status } }) => status),
      ["passed", "failed", "error"],
    );
  });
});

const scenarioWith = (checks: CheckResult[], more: Partial<ScenarioResult> = {}): ScenarioResult => {
  const timing = { applyMs: 0, inForceMs: 0, probeMs: 0, totalMs: 0 };
  const step = { name: "s", position, status: "passed" as const, objects: [], checks, asked: [], matrices: [], timing };
  return {
    ...{ id: "a/b", title: "t", source: "s", level: "core", tags: [], position, mesh: {}, status: "passed" },
    ...{ startedAt: "2026-11-28T00:00:00Z", durationMs: 1, steps: [{ ...step, rounds: 3 }] },
    ...more,
  };
};

describe("a review when the logs have caught up", () => {
  it("finds a workload that imitates a denial, leaves what has no line, and comes once", async () => {
    const log = logWith({});
    const done: ScenarioResult[] = [];
    const reviewer = createReviewer(log, ({ id }) => id);
    const result = scenarioWith([check("own", {}), check("gone", {})]);
    await reviewer.add({ result, finish: (found) => Promise.resolve(void done.push(found)) });
    assert.equal(done.length, 0);
    log.lines["own"] = "via_upstream";
    await reviewer.end();
    await reviewer.end();
    assert.equal(done.length, 1);
    assert.equal(done[0]?.status, "failed");
    const [step] = done[0].steps;
    assert.deepEqual(
      [step?.status, ...(step?.checks ?? []).map(({ status }) => status)],
      ["failed", "failed", "passed"],
    );
  });

  it("does not wait for the end where the lines are there, and leaves what was judged with its step alone", async () => {
    const log = logWith({ a: RULE });
    const done: ScenarioResult[] = [];
    const judged = { ...check("b", { policy: "p" }), status: "error" as const, reason: "could not be judged" };
    const seen = { ...check("c", { policy: "p" }) };
    const withDetails = { ...seen, got: { ...seen.got, details: RULE } };
    const reviewer = createReviewer(log, ({ id }) => id);
    await reviewer.add({
      result: scenarioWith([check("a", {}), withDetails]),
      finish: (found) => Promise.resolve(void done.push(found)),
    });
    assert.equal(done[0]?.steps[0]?.checks[0]?.got.details, RULE);
    assert.equal(done[0].steps[0].checks[1], withDetails);
    await reviewer.add({ result: scenarioWith([judged]), finish: (found) => Promise.resolve(void done.push(found)) });
    await reviewer.end();
    assert.equal(done[1]?.steps[0]?.checks[0], judged);
  });
});
