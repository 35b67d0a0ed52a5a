import assert from "node:assert/strict";
import { test } from "node:test";
import type { Answer, CheckResult } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import { demand } from "../model/expectation.ts";
import { sentence } from "../../reports/words.ts";
import * as verdict from "./judge.ts";
import { needsAccessLog, reviewDetails } from "./judge.ts";

function answer(status: number, by: Answer["by"], more: Partial<Answer> = {}): Answer {
  return { status, by, body: "", headers: {}, totalMs: 1, ...more };
}

function findDisagreement(...asked: Parameters<typeof verdict.findDisagreement>): string | undefined {
  const found = verdict.findDisagreement(...asked);
  return found && sentence(found);
}

const CASES: [expected: Expectation, got: Answer, to: string, reason: string | undefined][] = [
  [{ status: 200, by: "workload" }, answer(200, "workload"), "httpbin", undefined],
  [
    { status: 401, by: "authentication" },
    answer(200, "workload"),
    "httpbin",
    "expected 401 from authentication, got 200 from httpbin",
  ],
  [
    { status: 401, by: "authentication" },
    answer(401, "workload"),
    "httpbin",
    "expected 401 from authentication, got 401 from httpbin",
  ],
  [
    { status: 200, by: "workload" },
    answer(403, "authorization"),
    "ingress",
    "expected 200 from the workload behind ingress, got 403 from authorization",
  ],
  [{ status: 200, by: "workload" }, answer(503, "proxy"), "httpbin", "expected 200 from httpbin, got 503 from a proxy"],
  [
    { status: 200, by: "workload" },
    answer(0, "nobody", { error: "(7) Failed to connect" }),
    "httpbin",
    "expected 200 from httpbin, got no answer ((7) Failed to connect)",
  ],
  [{ status: 200, by: "workload" }, answer(0, "nobody"), "httpbin", "expected 200 from httpbin, got no answer"],
  ...(["closed", "reset"] as const).map((noAnswer): (typeof CASES)[number] => [
    { status: 0, by: "nobody", noAnswer: "closed" },
    answer(0, "nobody", { noAnswer }),
    "httpbin",
    undefined,
  ]),
  ...(["reset", "tls-refused", "dns"] as const).map((noAnswer): (typeof CASES)[number] => [
    { status: 0, by: "nobody", noAnswer },
    answer(0, "nobody", { noAnswer }),
    "httpbin",
    undefined,
  ]),
  [
    { status: 0, by: "nobody", noAnswer: "reset" },
    answer(0, "nobody", { noAnswer: "closed" }),
    "httpbin",
    "expected the connection reset without an answer, got the connection closed without an answer",
  ],
  [
    { status: 0, by: "nobody", noAnswer: "closed" },
    answer(0, "nobody", { noAnswer: "tls-refused", error: "alert" }),
    "httpbin",
    "expected the connection closed without an answer, got the TLS handshake refused (alert)",
  ],
  [
    { status: 0, by: "nobody", noAnswer: "tls-refused" },
    answer(0, "nobody", { noAnswer: "dns" }),
    "httpbin",
    "expected the TLS handshake refused, got a name that does not resolve",
  ],
  [
    { status: 0, by: "nobody" },
    answer(0, "nobody", { error: "(7) Failed to connect" }),
    "httpbin",
    "expected the connection closed without an answer, got no answer ((7) Failed to connect)",
  ],
  [
    { status: 0, by: "nobody" },
    answer(200, "workload"),
    "httpbin",
    "expected the connection closed without an answer, got 200 from httpbin",
  ],
  [
    { status: 401, by: "authentication" },
    answer(0, "nobody", { noAnswer: "closed" }),
    "httpbin",
    "expected 401 from authentication, got the connection closed without an answer",
  ],
  [
    { status: 401, by: "authentication", body: "expired" },
    answer(401, "authentication", { body: "Jwt is expired" }),
    "x",
    undefined,
  ],
  [
    { status: 401, by: "authentication", body: "expired" },
    answer(401, "authentication", { body: "Jwt verification fails" }),
    "x",
    'expected a body with "expired", got "Jwt verification fails"',
  ],
  [
    { status: 200, by: "workload", body: "a" },
    answer(200, "workload"),
    "x",
    'expected a body with "a", got an empty one',
  ],
  [
    { status: 200, by: "workload", body: "a" },
    answer(200, "workload", { body: "b".repeat(100) }),
    "x",
    `expected a body with "a", got "${"b".repeat(80)}…"`,
  ],
  [
    { status: 200, by: "workload", body: "z" },
    answer(200, "workload", { body: "Bearer eyJ9.eyJ9.ccc" }),
    "x",
    'expected a body with "z", got "Bearer eyJ9.eyJ9.[signature]"',
  ],
  [{ status: 0, by: "workload" }, answer(404, "workload"), "httpbin", undefined],
  [
    { status: 0, by: "workload" },
    answer(403, "authorization"),
    "httpbin",
    "expected any answer of httpbin, got 403 from authorization",
  ],
  [{ status: 0, by: "workload" }, answer(0, "nobody"), "httpbin", "expected any answer of httpbin, got no answer"],
  [{ status: 200, grpc: 7, by: "authorization" }, answer(200, "authorization", { grpc: 7 }), "httpbin", undefined],
  [
    { status: 200, grpc: 16, by: "authentication" },
    answer(200, "authorization", { grpc: 7 }),
    "httpbin",
    "expected the gRPC status 16 from authentication, got the gRPC status 7 from authorization",
  ],
  [
    { status: 200, grpc: 0, by: "workload" },
    answer(200, "workload"),
    "httpbin",
    "expected the gRPC status 0 from httpbin, got 200 from httpbin",
  ],
  [
    { status: 401, by: "authentication", body: { is: "Jwt is missing" } },
    answer(401, "authentication", { body: "Jwt is missing" }),
    "x",
    undefined,
  ],
  [
    { status: 401, by: "authentication", body: { is: "Jwt is" } },
    answer(401, "authentication", { body: "Jwt is missing" }),
    "x",
    'expected a body that is "Jwt is", got "Jwt is missing"',
  ],
  [
    { status: 401, by: "authentication", body: { matches: "Jwt is (missing|expired)" } },
    answer(401, "authentication", { body: "Jwt is expired" }),
    "x",
    undefined,
  ],
  [
    { status: 401, by: "authentication", body: { matches: "Jwt is" } },
    answer(401, "authentication", { body: "Jwt is expired" }),
    "x",
    'expected a body that matches "Jwt is", got "Jwt is expired"',
  ],
  ...(
    [
      [{ "X-A": "one" }, undefined],
      [{ "x-a": true, "x-b": null, "x-c": false }, undefined],
      [{ "x-a": { matches: "o.e" } }, undefined],
      [{ "x-a": "two" }, 'expected a reply whose header x-a is "two", got "one"'],
      [{ "x-a": { matches: "o" } }, 'expected a reply whose header x-a matches "o", got "one"'],
      [{ "x-a": null }, 'expected a reply without the header x-a, got "one"'],
      [{ "x-b": true }, "expected a reply with the header x-b, it has none"],
      [{ "x-b": "one" }, 'expected a reply whose header x-b is "one", it has none'],
      [{ "x-b": { matches: ".*" } }, 'expected a reply whose header x-b matches ".*", it has none'],
    ] as const
  ).map(([headers, reason]): (typeof CASES)[number] => [
    { status: 200, by: "workload", headers },
    answer(200, "workload", { headers: { "x-a": "one" } }),
    "httpbin",
    reason,
  ]),
  [{ status: 200, by: "workload", jsonKey: "keys" }, answer(200, "workload", { body: '{"keys":[]}' }), "x", undefined],
  ...["[]", "null", "{}", "keys", '{"keys"'].map((body): [Expectation, Answer, string, string] => [
    { status: 200, by: "workload", jsonKey: "keys" },
    answer(200, "workload", { body }),
    "x",
    `expected a JSON object with the key "keys", got ${JSON.stringify(body)}`,
  ]),
  [{ status: 403, by: "authorization", details: "policy[x]" }, answer(403, "authorization"), "x", undefined],
  [
    { status: 403, by: "authorization", details: "policy[x]" },
    answer(403, "authorization", { details: "rbac_access_denied_matched_policy[none]" }),
    "x",
    'expected response code details with "policy[x]", got "rbac_access_denied_matched_policy[none]"',
  ],
];

for (const [expected, got, to, reason] of CASES)
  test(`${JSON.stringify(expected)} and ${got.status} by ${got.by} ${got.body.slice(0, 20)}: ${reason ?? "agree"}`, () => {
    assert.equal(findDisagreement(expected, got, to), reason);
  });

function check(expected: Expectation, got: Answer, more: Partial<CheckResult> = {}): CheckResult {
  const request = { from: "sleep", to: "httpbin", method: "GET", url: "http://httpbin.foo:8000/", tokens: [] };
  const position = { file: "scenario.yaml", line: 1, column: 1 };
  return {
    name: "x",
    position,
    request,
    expected,
    got,
    status: "passed",
    enforcedMs: 1,
    changes: [],
    curl: "",
    ...more,
  };
}

const DENIED = answer(403, "authorization", { body: "RBAC: access denied" });
const RULE = "rbac_access_denied_matched_policy[ns[foo]-policy[x]-rule[0]]";

test("details that agree leave a check passed, and are kept", () => {
  const before = check({ status: 403, by: "authorization", details: "policy[x]" }, DENIED);
  assert.deepEqual(reviewDetails(before, { details: RULE }), { ...before, got: { ...DENIED, details: RULE } });
});

test("details that disagree fail a passed check and explain it", () => {
  const { status, reason } = reviewDetails(check({ status: 403, by: "authorization", details: "policy[y]" }, DENIED), {
    details: RULE,
  });
  assert.equal(status, "failed");
  assert.equal(
    reason,
    `expected response code details with "policy[y]", got "${RULE}"; denied by AuthorizationPolicy foo/x, rule 0`,
  );
});

test("policy and details are both judged", () => {
  const review = (demands: Partial<Expectation>): string | undefined =>
    reviewDetails(check({ status: 403, by: "authorization", ...demands }, DENIED), { details: RULE }).reason;
  assert.equal(review({ policy: "x", details: "rule[0]" }), undefined);
  assert.match(review({ policy: "x", details: "rule[1]" }) ?? "", /^expected response code details with "rule\[1\]"/);
  assert.match(review({ policy: "y", details: "rule[0]" }) ?? "", /^expected a rule of the AuthorizationPolicy "y"/);
  // The whole name must match.
  assert.notEqual(review({ policy: "" }), undefined);
});

const MISSING = {
  missing: [{ kind: "unreadable", proxy: { namespace: "foo", pod: "httpbin-1" }, error: "not found" }],
} as const;

test("a demand that cannot be judged is an error of its check only; others do not change", () => {
  for (const demand of [{ details: "x" }, { policy: "p" }, { details: "ext_authz_denied" }]) {
    const { status, reason } = reviewDetails(check({ status: 403, by: "authorization", ...demand }, DENIED), MISSING);
    assert.equal(status, "error");
    assert.match(
      reason ?? "",
      /^could not be judged: it demands .* and the access log of foo\/httpbin-1 cannot be read/,
    );
  }
  const plain = check({ status: 403, by: "authorization" }, DENIED);
  assert.equal(reviewDetails(plain, MISSING), plain);
  // A check that has failed already stays failed.
  const failed = check({ status: 403, by: "authorization", policy: "p" }, DENIED, {
    status: "failed",
    findings: [{ kind: "recorded", text: "r" }],
  });
  assert.equal(reviewDetails(failed, MISSING), failed);
});

test("the log of a workload's own sidecar exposes an imitated denial, a gateway's log does not", () => {
  const expected = { status: 403, by: "authorization" } as const;
  const reviewed = reviewDetails(check(expected, DENIED), { details: "via_upstream" });
  assert.equal(reviewed.reason, "expected 403 from authorization, got 403 from httpbin");
  assert.equal(reviewed.got.by, "workload");
  const request = { ...check(expected, DENIED).request, to: "ingress" };
  assert.equal(reviewDetails(check(expected, DENIED, { request }), { details: "via_upstream" }).status, "passed");
});

test("a failed check keeps its reason and also reports who denied it", () => {
  const findings = [{ kind: "recorded", text: "expected otherwise" }] as const;
  const reviewed = reviewDetails(check({ status: 200, by: "workload" }, DENIED, { status: "failed", findings }), {
    details: RULE,
  });
  assert.deepEqual(
    [reviewed.status, reviewed.reason],
    ["failed", "expected otherwise; denied by AuthorizationPolicy foo/x, rule 0"],
  );
});

test("a body that was cut for the report is not judged again", () => {
  const expected = { status: 200, by: "workload", body: "at the very end" } as const;
  assert.equal(
    reviewDetails(check(expected, answer(200, "workload", { body: "cut" })), { details: "via_upstream" }).status,
    "passed",
  );
});

test("`received` is judged by httpbin's echo", () => {
  const payload = Buffer.from('{"sub":"alice","exp":1}').toString("base64url");
  const body = JSON.stringify({
    headers: { "X-Payload": [payload], "X-Sub": ["alice"], Two: ["a", "b"] },
    url: "http://httpbin.foo:8000/anything/a?b=c",
  });
  const judge = (received: Expectation["received"]): string | undefined =>
    findDisagreement(
      { status: 200, by: "workload", received: received! },
      answer(200, "workload", { body }),
      "httpbin",
    );
  assert.equal(
    judge({
      headers: {
        "x-sub": "alice",
        two: "a,b",
        authorization: null,
        "x-payload": { claims: { sub: "alice" } },
        Two: true,
      },
      path: "/anything/a?b=c",
    }),
    undefined,
  );
  assert.equal(judge({ headers: { "x-sub": null } }), 'expected the workload to receive no header x-sub, got "alice"');
  assert.equal(judge({ headers: { none: true } }), "expected the workload to receive the header none, got none");
  assert.match(judge({ headers: { "x-payload": { claims: { sub: "bob" } } } })!, /x-payload with .*bob/);
  assert.equal(judge({ path: "/b" }), 'expected httpbin to receive the path "/b", got "/anything/a?b=c"');
});

test("a proxy's own reply with details waits for the access log, and no workload's passes as one", () => {
  const wanted: Expectation = { status: 503, by: "proxy", details: "filter_removed_required_request_headers" };
  const got = { status: 503, by: "workload" as const, headers: {}, body: "odd", totalMs: 1 };
  assert.equal(findDisagreement(wanted, got, "httpbin"), undefined);
  assert.match(
    findDisagreement(wanted, { ...got, details: "via_upstream" }, "httpbin") ?? "",
    /^expected 503 from a proxy/,
  );
  assert.match(findDisagreement({ status: 503, by: "proxy" }, got, "httpbin") ?? "", /^expected 503 from a proxy/);
});

test("an external authorizer's denial waits for the access log, and no other answer passes as one", () => {
  const refused: Expectation = { status: 403, by: "authorization", details: "ext_authz_denied" };
  const own = { status: 403, by: "workload" as const, headers: {}, body: "no", totalMs: 1 };
  assert.equal(findDisagreement(refused, own, "httpbin"), undefined);
  assert.match(findDisagreement(refused, { ...own, details: "via_upstream" }, "httpbin") ?? "", /^expected 403/);
  assert.match(findDisagreement({ ...refused, details: "rbac" }, own, "httpbin") ?? "", /^expected 403/);
});

test("a reply that is not an echo proves nothing about what the workload received", () => {
  const echo = JSON.stringify({ headers: { Host: ["httpbin.foo:8000"], Big: ["x".repeat(100)] } });
  const odd = ["", "<html></html>", "{}", "[]", "null", '{"headers":{}}', '{"headers":[]}', '{"headers":{"Host":1}}'];
  for (const body of [...odd, echo.slice(0, -20)])
    assert.match(
      findDisagreement(
        { status: 200, by: "workload", received: { headers: { "x-secret": null } } },
        answer(200, "workload", { body }),
        "httpbin",
      ) ?? "",
      /the reply is not an echo of the request/,
      body,
    );
  const wanted = { status: 200, by: "workload", received: { path: "/headers" } } as const;
  assert.equal(
    findDisagreement(wanted, answer(200, "workload", { body: echo }), "httpbin"),
    'expected httpbin to receive the path "/headers", the reply does not say',
  );
});

test("every key of an expectation can fail", () => {
  const got = answer(403, "authorization", { body: "RBAC: access denied", details: RULE });
  const wrong: Required<Omit<Expectation, "noAnswer">> = {
    status: 404,
    by: "workload",
    grpc: 16,
    body: { is: "RBAC" },
    headers: { "x-a": true },
    jsonKey: "keys",
    details: "none",
    policy: "y",
    received: { headers: { a: null } },
  };
  assert.deepEqual([...Object.keys(demand.shape), "grpc"].sort(), Object.keys(wrong).sort());
  const right = { status: 403, by: "authorization" } as const;
  assert.equal(findDisagreement(right, got, "httpbin"), undefined);
  for (const [key, demand] of Object.entries(wrong))
    assert.notEqual(findDisagreement({ ...right, [key]: demand }, got, "httpbin"), undefined, key);
});

test("only details and policy need the access log", () => {
  const needing = { status: 403, by: "authorization" } as const;
  assert.deepEqual(
    [{}, { body: "b" }, { details: "d" }, { policy: "p" }].map((more) => needsAccessLog({ ...needing, ...more })),
    [false, false, true, true],
  );
});
