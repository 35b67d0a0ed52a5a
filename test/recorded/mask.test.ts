import assert from "node:assert/strict";
import { it } from "node:test";
import { mask } from "./mask.ts";

const options = { id: "20261128-020000-a001", startedAt: "2026-11-28T02:00:00.000Z" };

/** The same check, as two runs on two machines see it. */
const seen = (run: string, pod: string, address: string, ms: number) => ({
  id: run,
  startedAt: `2027-01-0${(ms % 9) + 1}T00:00:00.000Z`,
  command: `meshproof run --name ${pod} --results /tmp/${run}`,
  checks: [
    {
      name: "/headers none",
      status: "passed",
      got: {
        body: `{"User-Agent":["meshproof/${run}/jwt/x/1.1/${ms}"],"X-Request-Id":["3f2a9b10-0000-4000-8000-00000000000${ms % 10}"]}`,
        headers: { "x-envoy-upstream-service-time": String(ms) },
        error: `Failed to connect to ${address} after ${ms} ms`,
        totalMs: ms / 3,
      },
      enforcedMs: ms,
      changes: ms % 2 === 0 ? [] : [{ round: 1, atMs: ms, status: 200, by: "workload" }],
      ...(ms % 2 === 0 ? {} : { stale: { status: 200, by: "workload" } }),
    },
  ],
  reason: `the pod foo/httpbin-${pod} did not answer within ${ms} ms`,
  proxies: ms % 2 === 0 ? [`foo/a-${pod}`, `foo/b-${pod}`] : [`foo/b-${pod}`, `foo/a-${pod}`],
});

it("two recordings of the same thing are the same, and masking twice changes nothing", () => {
  const first = mask(seen("20270101-120000-abcd", "b6b6cd8c5-q7xhr", "10.244.0.12", 1431), options);
  const second = mask(seen("20270202-130000-0123", "7556458565-pwdq2", "10.96.3.4", 88), options);
  assert.deepEqual(first, second);
  assert.deepEqual(mask(first, options), first);
});

it("what the mesh answered, names, positions and loopback stay", () => {
  const result = {
    status: 401,
    by: "authentication",
    details: "rbac_access_denied_matched_policy[ns[foo]-policy[deny]-rule[0]]",
    position: { file: "scenarios/jwt/x/scenario.yaml", line: 27, column: 11 },
    url: "http://127.0.0.1:8080/status/200",
    versions: { istio: "1.31.0", envoy: "1.40.0" },
    token: "valid (iss testing@secure.istio.io, alg RS256)",
  };
  assert.deepEqual(mask(result, options), result);
});
