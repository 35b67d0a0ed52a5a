import assert from "node:assert/strict";
import { test } from "node:test";
import {
  answer,
  check,
  expectation,
  explanation,
  hostile,
  policy,
  redScenario,
  run,
  scenario,
  step,
} from "../test/recorded/change.ts";
import { redRun, wholeRun } from "../test/recorded/results.ts";
import { outcomesOf } from "./outcome.ts";
import { formatFailure, formatSummary } from "./terminal.ts";

const last = (text: string): string => text.split("\n").at(-1) ?? "";

test("a failure has its position, name, reason and the command that repeats it", () => {
  const failed = outcomesOf(redScenario("jwt/pair-makes-tokens-mandatory")).find(({ status }) => status === "failed")!;
  assert.equal(
    formatFailure(failed),
    `scenarios/jwt/pair-makes-tokens-mandatory/scenario.yaml:31  with the AuthorizationPolicy no token is 403 and a bad one still 401: /headers none
  expected 403 from authorization with "RBAC: access denied" in its body, got 200 from httpbin
  request   GET /headers from sleep to httpbin, no token
  policies  RequestAuthentication foo/jwt-example (in force at the proxy since 0.12 s, from step 1), scenarios/jwt/pair-makes-tokens-mandatory/request-authentication.yaml:1
            AuthorizationPolicy foo/require-jwt (in force at the proxy since 0.12 s), scenarios/jwt/pair-makes-tokens-mandatory/authorization-policy.yaml:1
  config    The request goes through to the workload: rule 1 of AuthorizationPolicy foo/require-jwt allows it.
  repeat    meshproof run jwt/pair-makes-tokens-mandatory --keep`,
  );
});

test("many cells of one matrix are one failure, with its differing rows and columns, and the reason once", () => {
  const summary = formatSummary(run([redScenario("paths/skip-jwt-for-paths")]));
  assert.ok(
    summary.includes(`the DENY rule asks for a token on every path but the excluded one: 2 of 9 checks differ
  expected 403 from authorization, got 200 from the workload
                      none
  /api/v1/products/0  200≠403
  /api/v1/products/1  200≠403
  (1 more row agrees)
`),
  );
  assert.equal(summary.split("no DENY rule matches").length, 2);
  assert.equal(summary.split("meshproof run paths/skip-jwt-for-paths --keep").length, 2);
});

test("a cell names the difference if the status is the same", () => {
  const cell = (name: string, column: number, row: number, changes: object) =>
    check(name, { cell: { matrix: 0, row, column }, ...changes });
  const checks = [
    cell("/a none", 0, 0, {
      status: "failed",
      got: answer(401),
      expected: expectation(401, { body: "Jwt is expired" }),
      findings: [{ kind: "body-without-text", text: "Jwt is expired", body: "Jwt verification fails" }],
    }),
    cell("/a valid", 1, 0, { status: "failed", got: answer(403, { by: "workload" }), expected: expectation(403) }),
    cell("/b none", 0, 1, {}),
    cell("/b valid", 1, 1, { status: "failed", got: answer(0) }),
    cell("/c none", 0, 2, {
      ...{ status: "failed", got: answer(403), expected: expectation(403) },
      findings: [{ kind: "no-witness", to: "httpbin" }, { kind: "denied-by-no-rule" }],
    }),
    cell("/c valid", 1, 2, { status: "failed", got: answer(403), expected: expectation(403), findings: [] }),
  ];
  const matrices = [{ title: "", rows: ["/a", "/b", "/c"], columns: ["none", "valid"] }];
  const summary = formatSummary(run([scenario("jwt/x", { steps: [step("s", { checks, matrices })] })]));
  assert.match(summary, /\/a {2}401, other body {2}403 by workload≠authorization\n {2}\/b {2}· {16}none≠200\n/);
  assert.match(summary, /\/c {2}403, no witness {2}403, differs\n/);
});

test("a flaky cell is marked as flaky, not as a difference in text", () => {
  const checks = ["none", "valid"].map((name, column) =>
    check(`/a ${name}`, { cell: { matrix: 0, row: 0, column }, status: "flaky" }),
  );
  const matrices = [{ title: "", rows: ["/a"], columns: ["none", "valid"] }];
  const summary = formatSummary(run([scenario("jwt/x", { steps: [step("s", { checks, matrices })] })]));
  assert.match(summary, /\/a {2}200, flaky {2}200, flaky\n/);
});

test("the last line has the counts, the line before has their parts", () => {
  const lines = formatSummary(redRun(), { report: "results/x/report.html" }).split("\n");
  assert.deepEqual(lines.slice(-2), [
    "5 failed, 3 flaky, 2 in error, 3 known failures",
    "120 passed, 10 failed, 1 skipped",
  ]);
  assert.ok(lines.includes("  report    results/x/report.html"));
  assert.equal(last(formatSummary(wholeRun())), `${wholeRun().counts.passed} passed, 0 failed`);
});

test("a run that checked nothing is reported as such", () => {
  const skipped = scenario("jwt/x", { status: "skipped", reason: "not here", steps: [] });
  assert.deepEqual(
    formatSummary(run([skipped]))
      .split("\n")
      .slice(-2),
    ["nothing was checked", "0 passed, 0 failed, 1 skipped"],
  );
});

test("every status with reasons is listed, worst first", () => {
  const summary = formatSummary(redRun());
  const titles = ["Failed (5)", "Flaky (3)", "Errors (2)", "Known failures (3)", "Skipped (1)"];
  const places = titles.map((title) => summary.indexOf(title));
  assert.deepEqual(
    places,
    [...places].sort((a, b) => a - b),
  );
  assert.ok(!places.includes(-1));
  assert.match(summary, /expected 200 from httpbin, got it only after other answers\n/);
  assert.match(summary, /expected outside-host to be asked by the proxy; it was asked by istiod\n/);
});

test("what the API server says is printed beside what it should have said", () => {
  const admission = [
    {
      position: { file: "scenario.yaml", line: 9, column: 1 },
      object: "AuthorizationPolicy a",
      expected: { verdict: "refused", text: "wildcard" },
      got: { verdict: "accepted", texts: [], fields: [] },
      status: "failed",
    },
  ] as const;
  const summary = formatSummary(run([scenario("validation/x", { steps: [step("s", { admission })] })]));
  assert.match(summary, /scenario.yaml:9 {2}s: AuthorizationPolicy a refused by the API server\n/);
  assert.match(summary, /expected AuthorizationPolicy a to be refused \("wildcard"\); it was accepted\n/);
});

test("an answer of the flush round is printed if it differed", () => {
  const stale = check("a", {
    status: "flaky",
    reason: "round 3: expected 200 from httpbin, got 401 from authentication, after it had agreed in round 1",
    stale: { status: 200, by: "workload" },
  });
  const summary = formatSummary(run([scenario("jwt/x", { steps: [step("s", { checks: [stale] })] })]));
  assert.match(summary, /seen {6}flush round: 200 from httpbin \(a pooled connection, not judged\)\n/);
});

test("a deleted policy is listed in the step that deletes it", () => {
  const steps = [
    step("apply", { objects: [policy()] }),
    step("delete", {
      objects: [policy({ verb: "delete", inForceMs: 180 })],
      checks: [check("a", { status: "failed", got: answer(401) })],
    }),
  ];
  const failed = outcomesOf(scenario("jwt/x", { steps }))[0]!;
  assert.match(
    formatFailure(failed),
    /policies {2}RequestAuthentication foo\/jwt-example \(gone from the proxy after 0.18 s\)\n/,
  );
});

test("colour only on request, and none in the last line's text", () => {
  const escapes = /\u001b\[[\d;]*m/g;
  assert.doesNotMatch(formatSummary(redRun()), escapes);
  const colored = formatSummary(redRun(), { color: true });
  assert.match(colored, escapes);
  assert.equal(colored.replace(escapes, ""), formatSummary(redRun()));
});

test("hostile text cannot control the terminal or start a new line", () => {
  const summary = formatSummary(hostile());
  assert.doesNotMatch(summary, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028-\u202e]/);
  assert.ok(!summary.includes("c2lnbmF0dXJlLW9mLXRoZS10b2tlbg"));
  assert.equal(last(summary), "2 passed, 2 failed");
  assert.doesNotMatch(summary, /^<\/script>/m);
});

test("a failure has a line with the explanation by the proxy's config", () => {
  const told = check("GET /", {
    status: "failed",
    explanation: explanation({ kind: "no-policy" }),
  });
  const failing = scenario("jwt/explained", {
    status: "failed",
    steps: [step("one", { status: "failed", checks: [told] })],
  });
  const text = formatFailure(outcomesOf(failing)[0]!, { color: false });
  assert.match(text, /config +The request goes through to the workload: no AuthorizationPolicy is in force here\.$/m);
  assert.doesNotMatch(text, /path \//);
});

test("a run with diagnostics prints their folder, one without does not", () => {
  const { diagnostics: _, ...none } = redScenario("paths/skip-jwt-for-paths");
  const kept = run([{ ...none, diagnostics: ["diagnostics/a__b/1"] }]);
  assert.match(formatSummary(kept, { report: "results/x/report.html" }), /^ {2}evidence {2}results\/x\/diagnostics$/m);
  assert.doesNotMatch(formatSummary(run([none]), { report: "results/x/report.html" }), /evidence/);
});
