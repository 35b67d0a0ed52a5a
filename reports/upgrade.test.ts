import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterInfo } from "../harness/model/cluster.ts";
import { upgradeExitCode } from "../harness/upgrade/upgrade.ts";
import type { Incident, StreamResult, UpgradeResult } from "../harness/model/upgrade.ts";
import { formatUpgrade, formatUpgradeHtml, formatUpgradeMarkdown } from "./upgrade.ts";

const cluster = (istio: string): ClusterInfo => ({
  kind: "embedded",
  name: "x",
  versions: { kubernetes: "v1.36.3", istio, envoy: "1.40.0" },
  digests: {},
});
const stream = (name: string, expected: number, more: Partial<StreamResult> = {}): StreamResult => ({
  ...{ name, expected, perSecond: 20, sent: 100, due: 101, right: 100, breaches: [], failures: [] },
  ...{ perPhase: [], longestGap: { phases: ["gateway"], fromMs: 0, forMs: 61, sent: 1 }, problems: [] },
  ...more,
});
const incident: Incident = {
  ...{ phase: "gateway", fromMs: Date.UTC(2026, 0, 1, 1, 2, 3, 4), toMs: Date.UTC(2026, 0, 1, 1, 2, 4, 4) },
  ...{ count: 7, status: 200, by: "workload" },
};
const none = { passed: 1, failed: 0, flaky: 0, error: 0, skipped: 0, "known-failure": 0 };
const result = (streams: StreamResult[], more: Partial<UpgradeResult> = {}): UpgradeResult => ({
  ...{ schemaVersion: 1, id: "1", tool: { name: "meshproof", version: "0.1.0" }, command: "meshproof upgrade" },
  ...{ strategy: "in-place", startedAt: "", finishedAt: "", from: cluster("1.30"), to: cluster("1.31.0") },
  ...{
    phases: [{ name: "gateway", startedAt: "", durationMs: 5 }],
    problems: [],
    meshWide: [],
    unexpected: 0,
    maxUnavailable: { share: 1 },
  },
  ...{ checks: { from: none, to: none }, streams },
  ...more,
});

test("an admitted request that must be denied fails the upgrade, with its stream, phase and time", () => {
  const bad = result([stream("no token", 403, { right: 93, breaches: [incident] })]);
  assert.equal(upgradeExitCode(bad), 1);
  for (const text of [formatUpgrade(bad), formatUpgradeMarkdown(bad), formatUpgradeHtml(bad)]) {
    assert.match(text, /7 requests that must be refused were let through/);
    assert.match(
      text.replaceAll("\\", ""),
      /01:02:03\.004, gateway: 7 requests got 200 from the workload within 1\.0 s/,
    );
  }
});

test("failed requests that must be admitted are counted, and fail the upgrade only above the limit", () => {
  const lost = [stream("valid token", 200, { right: 93, failures: [{ ...incident, status: 503 }] })];
  assert.equal(upgradeExitCode(result(lost)), 0);
  assert.match(formatUpgrade(result(lost)), /let through, 7 that must be admitted failed/);
  assert.equal(upgradeExitCode(result(lost, { maxUnavailable: { requests: 7 } })), 0);
  assert.equal(upgradeExitCode(result(lost, { maxUnavailable: { requests: 6 } })), 1);
});

test("a request that must be denied and got another denial does not count as lost", () => {
  const other = [stream("no token", 403, { failures: [{ ...incident, status: 503 }] })];
  assert.equal(upgradeExitCode(result(other, { maxUnavailable: { requests: 0 } })), 0);
});

test("a denial by a scenario's mesh-wide policy during the runs is not a failure, a lost answer is", () => {
  const during = (phase: string, status: number) => ({ ...incident, phase, status });
  const failures = [during("first run", 403), during("second run", 503), during("gateway", 403)];
  const lost = [stream("valid token", 200, { failures })];
  const told = result(lost, { meshWide: ["authz/allow-nothing-in-mesh"], maxUnavailable: { requests: 14 } });
  assert.equal(upgradeExitCode(told), 0);
  for (const text of [formatUpgrade(told), formatUpgradeMarkdown(told), formatUpgradeHtml(told)])
    assert.match(
      text.replaceAll("\\", ""),
      /7 more were refused during the runs by policies .* authz\/allow-nothing-in-mesh/,
    );
  assert.match(formatUpgrade(told), /14 that must be admitted failed/);
  assert.equal(
    upgradeExitCode(result(lost, { maxUnavailable: { requests: 20 } })),
    1,
    "without such a scenario it counts",
  );
});

test("a stream that stopped or a pod that restarted is an error, unless something worse is known", () => {
  const stopped = stream("valid token", 200, {
    problems: [{ kind: "gap", gap: { phases: ["gateway"], fromMs: 0, forMs: 9000, sent: 0 } }],
  });
  assert.equal(upgradeExitCode(result([stopped])), 3);
  assert.equal(upgradeExitCode(result([stream("x", 200)], { problems: ["a pod restarted"] })), 3);
  assert.equal(upgradeExitCode(result([stopped, stream("no token", 403, { breaches: [incident] })])), 1);
  assert.match(formatUpgrade(result([stopped])), /not judged/);
});

test("an unexpected change between the runs fails the upgrade", () => {
  assert.equal(upgradeExitCode(result([stream("x", 200)], { unexpected: 1 })), 1);
});

test("text from the mesh is shown as text on the page", () => {
  const hostile = stream("valid token", 200, { failures: [{ ...incident, status: 0, error: "<script>x</script>" }] });
  assert.ok(!formatUpgradeHtml(result([hostile])).includes("<script>x"));
  assert.ok(
    !formatUpgrade(result([stream("x", 200, { problems: [{ kind: "broken", words: "\u001b[2J" }] })])).includes(
      "\u001b",
    ),
  );
});
