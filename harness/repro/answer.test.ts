import assert from "node:assert/strict";
import { describe, it, test } from "node:test";
import type { CheckResult } from "../model/result.ts";
import { describeCause } from "../../reports/words.ts";
import type { Condition, DecidingRule, Explanation, Reason, RuleFact } from "../model/explanation.ts";
import type { ObjectFinding } from "../model/finding.ts";
import { expectations, readAnswer, type Asked } from "./answer.ts";
import { readRequest } from "./curl-line.ts";
import { readObjects } from "./read-objects.ts";
import type { Ticket } from "./ticket.ts";
import { translate } from "./translate.ts";
import type { Outcome, ReproAnswer, Seen, TokenState } from "../model/ticket.ts";

const YAML = (portName = "http"): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec: { jwtRules: [{ issuer: https://me.example, audiences: [a] }] }
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy, namespace: shop }
spec: { action: DENY, rules: [{}] }
---
apiVersion: v1
kind: Service
metadata: { name: shop, namespace: shop }
spec: { selector: { app: shop }, ports: [{ name: ${portName}, port: 80 }] }
`;

type Got = Partial<CheckResult["got"]> & { readonly explanation?: Explanation };

/** An answer with the given cell; every other cell is the workload's, or the same. */
function answerOf(
  given: Got,
  {
    yaml = YAML(),
    findings = [],
    warnings = [],
    others = {},
    expected,
    seen,
    more = {},
  }: {
    yaml?: string;
    findings?: ObjectFinding[];
    warnings?: Asked["warnings"];
    others?: Got;
    expected?: Outcome;
    seen?: Seen;
    more?: Partial<Ticket>;
  } = {},
): ReproAnswer {
  const ticket: Ticket = {
    name: "t",
    objects: readObjects(yaml, "t.yaml"),
    request: readRequest("GET /orders", []),
    tokens: [{ header: {}, claims: { iss: "https://other.example", aud: "b" } }],
    from: "shop/web",
    jwks: "reachable",
    now: 1_800_000_000,
    image: "nginx:1",
    ...more,
  };
  const translation = translate(ticket);
  const observations = translation.columns.map((column, index) => {
    const { explanation, ...got } = column === translation.given ? given : others;
    return {
      curl: "curl",
      settled: true,
      request: { tokens: [{ name: column, words: "w" }] },
      cell: { matrix: 0, row: 0, column: index },
      got: { status: 200, by: "workload", body: "", headers: {}, totalMs: 1, ...got },
      ...(explanation === undefined ? {} : { explanation }),
    };
  });
  const elsewhere = translation.topology.others.map(() => ({
    ...{ curl: "curl", settled: true, request: { token: "none" } },
    got: { status: 200, by: "workload", body: "", headers: {}, totalMs: 1, ...others },
  }));
  const object = { kind: "AuthorizationPolicy", name: "policy", namespace: "shop" };
  const objects = [{ ...object, file: "scenarios/tickets/t/01-policy.yaml", findings }];
  const asked = { versions: { istio: "1.31.0" }, observations: [...observations, ...elsewhere], objects, warnings };
  return readAnswer(asked as unknown as Asked, translation, ticket, { expected, seen });
}

function explained(decision: Explanation["decision"]): Explanation {
  return { decision, filtersAsked: true, tokensAsked: true, path: "/orders", providers: [], rules: [] };
}

const RULE = { name: "ns[shop]-policy[policy]-rule[0]", policy: { namespace: "shop", name: "policy" }, index: 0 };

function denied(reason: Reason): Explanation {
  return explained({ verdict: "denied", status: 403, by: "authorization", reason });
}

const denied403 = (rule: DecidingRule): Explanation => denied({ kind: "denied", rule });
const DENIED = denied({ kind: "denied", rule: { ...RULE, conditions: [] } });
const ADMITTED = explained({ verdict: "admitted", status: 200, by: "nobody", reason: { kind: "no-policy" } });
const NOT_FETCHED: ObjectFinding = { kind: "keys-not-fetched", issuers: ["https://me.example"] };

test("the API server's warnings about the ticket's objects are notes, word for word", () => {
  const text = "configured AuthorizationPolicy will deny all traffic to TCP ports under its scope";
  const warn = (name: string) => ({ object: { kind: "AuthorizationPolicy", namespace: "shop", name }, text });
  const { notes } = answerOf(
    { status: 403, by: "authorization" },
    { warnings: [warn("policy"), warn("not-the-tickets")] },
  );
  assert.deepEqual(
    notes.flatMap((one) => (one.kind === "api-warning" ? [one] : [])),
    [{ kind: "api-warning", ...warn("policy") }],
  );
});

describe("whether a ticket is reproduced", () => {
  const open = ({ differences }: ReproAnswer, kind: string): string[] =>
    differences.flatMap((one) => (one.kind === kind ? [one.decides] : []));

  it("depends on the port where a policy at the gateway compares it", () => {
    const yaml = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy, namespace: istio-system }
spec: { selector: { matchLabels: { istio: ingressgateway } }, rules: [{ to: [{ operation: { ports: ["80"] } }] }] }
`;
    const rule = (field: Condition["field"]) => ({
      ...{ ...RULE, dryRun: false, action: "ALLOW", matched: false },
      conditions: [{ field, matched: false }],
    });
    const got = (field: Condition["field"]): Got => ({
      ...{ status: 403, by: "authorization" },
      explanation: { ...DENIED, rules: [rule(field)] as unknown as Explanation["rules"] },
    });
    assert.deepEqual(open(answerOf(got({ kind: "port" }), { yaml, more: { tokens: [] } }), "gateway-port"), [
      "unknown",
    ]);
    assert.deepEqual(open(answerOf(got({ kind: "path" }), { yaml, more: { tokens: [] } }), "gateway-port"), ["no"]);
  });

  it("is open where the mesh has no pod and the pods are assumed", () => {
    const body = "no healthy upstream";
    assert.deepEqual(open(answerOf({ status: 503, by: "proxy", body }), "no-endpoint"), ["unknown"]);
    assert.deepEqual(open(answerOf({ status: 503, by: "proxy", body: "connection termination" }), "no-endpoint"), []);
  });
});

describe("readAnswer", () => {
  it("lists the trusted issuers", () => {
    const { cause } = answerOf({ status: 401, by: "authentication", body: "Jwt issuer is not configured" });
    assert.equal(
      describeCause(cause),
      `The token's issuer "https://other.example" is not among the trusted ["https://me.example"], so jwt_authn answers 401.`,
    );
  });
  it("reports the placeholder key rather than jwt_authn's message", () => {
    assert.deepEqual(
      answerOf({ status: 401, by: "authentication", body: "Jwt verification fails" }, { findings: [NOT_FETCHED] })
        .cause,
      { kind: "keys-not-fetched", issuers: ["https://me.example"], status: 401 },
    );
    // Missing keys do not explain a policy's denial.
    assert.equal(
      answerOf({ status: 403, by: "authorization", explanation: DENIED }, { findings: [NOT_FETCHED] }).cause.kind,
      "decision",
    );
  });
  it("does not blame the keys for an error that is checked before them", () => {
    const got = { status: 403, by: "authentication", body: "Audiences in Jwt are not allowed" } as const;
    assert.deepEqual(answerOf(got, { findings: [NOT_FETCHED] }).cause, {
      kind: "token-audience",
      aud: ["b"],
      allowed: [],
      status: 403,
    });
  });
  it("names the policy that denies", () => {
    const answer = answerOf({
      status: 403,
      by: "authorization",
      explanation: DENIED,
      details: "rbac[ns[shop]-policy[policy]-rule[0]]",
    });
    assert.match(
      describeCause(answer.cause),
      /AuthorizationPolicy shop\/policy denies the request, so the answer is 403/,
    );
    assert.equal(answer.verdict.details, "rbac[ns[shop]-policy[policy]-rule[0]]");
  });
  it("believes the mesh if it contradicts meshproof's reading of the config", () => {
    const answer = answerOf({ status: 200, by: "workload", explanation: DENIED });
    assert.equal(describeCause(answer.cause), "The request reached the workload, which answered 200.");
    assert.deepEqual(
      answer.notes.map(({ kind }) => kind),
      ["disputed"],
    );
    assert.equal(answer.inForce, undefined);
  });
  it("does not report a request as admitted if the workload did not answer it", () => {
    const answer = answerOf({ status: 503, by: "proxy", details: "upstream_reset", explanation: ADMITTED });
    assert.equal(
      describeCause(answer.cause),
      "No rule or policy refuses the request, but it got 503 by the proxy (upstream_reset).",
    );
    assert.deepEqual(answer.inForce, { providers: [], rules: [] });
  });
  it("keeps each cell's answer and its explanation by the proxy's config", () => {
    const answer = answerOf(
      { status: 403, by: "authorization", explanation: DENIED, details: "rbac[ns[shop]-policy[policy]-rule[0]]" },
      { findings: [NOT_FETCHED] },
    );
    const { columns, rows, given } = answer.matrix;
    const cell = rows[0]?.cells[columns.indexOf(given)];
    assert.equal(given, "given");
    assert.deepEqual(
      [cell?.token, cell?.details, cell?.curl],
      ["given (w)", "rbac[ns[shop]-policy[policy]-rule[0]]", "curl"],
    );
    const reason = cell?.explanation?.decision.reason;
    const rule = { name: "ns[shop]-policy[policy]-rule[0]", policy: { namespace: "shop", name: "policy" }, index: 0 };
    assert.deepEqual(reason, { kind: "denied", rule: { ...rule, conditions: [] } });
    assert.equal(answer.applied[0]?.file, "01-policy.yaml");
    assert.match(answer.standIn, /kind: Deployment/);
  });
  it("names the port if the mesh takes it for TCP", () =>
    assert.deepEqual(answerOf({ status: 0, by: "nobody" }, { yaml: YAML("tcp-web") }).cause, {
      kind: "tcp-port",
      port: 80,
      name: "tcp-web",
      status: 0,
    }));
  it("blames the audience only if nothing else in the rule fails", () => {
    const audience: Condition = {
      field: { kind: "claim", name: "aud" },
      requires: { kind: "exact", value: "a" },
      got: { kind: "json", value: "b" },
      agrees: false,
    };
    const method: Condition = {
      field: { kind: "method" },
      requires: { kind: "exact", value: "POST" },
      got: { kind: "text", text: "GET" },
      agrees: false,
    };
    const cause = (...conditions: Condition[]) => {
      const explanation = denied({ kind: "not-allowed", rules: [{ ...RULE, conditions }] });
      return answerOf({ status: 403, by: "authorization", explanation }).cause.kind;
    };
    assert.equal(cause(audience), "policy-audience");
    assert.equal(cause(audience, method), "decision");
  });
  it("names the selector of a policy in another namespace", () => {
    const object = { kind: "AuthorizationPolicy", namespace: "outside", name: "policy" };
    const pods = [{ namespace: "shop", pod: "ticket-1", labels: { app: "sleep" } }];
    const finding: ObjectFinding = { kind: "selects-no-pod", object, selector: { app: "sleep" }, pods };
    const { cause } = answerOf({ status: 200, by: "workload" }, { findings: [finding] });
    assert.ok(cause.kind === "selects-no-pod");
    assert.deepEqual([cause.selector, cause.elsewhere], [{ app: "sleep" }, ["shop"]]);
  });
  it("counts any answer of the workload as 200, and a workload's own 403 not as a denial", () => {
    assert.equal(answerOf({ status: 404, by: "workload" }, { expected: 200 }).expected?.met, true);
    assert.equal(answerOf({ status: 403, by: "workload" }, { expected: 403 }).expected?.met, false);
    assert.equal(answerOf({ status: 403, by: "authorization" }, { expected: 403 }).expected?.met, true);
    assert.equal(answerOf({ status: 403, by: "authorization" }, { expected: 200 }).expected?.met, false);
  });
});

describe("an answer is that of the ticket only if no difference decides", () => {
  const denied = { status: 403, by: "authorization" } as const;
  const deciding = (answer: ReproAnswer) =>
    answer.differences.flatMap((one) => (one.decides === "no" ? [] : [`${one.kind} ${one.decides}`]));

  it("it is if everything is understood", () => {
    const answer = answerOf(denied, { expected: 403 });
    assert.deepEqual([answer.reproduced, deciding(answer)], [true, []]);
  });

  it("it is not if an object is not understood, even if the expected answer came", () => {
    const filter =
      "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: { name: w, namespace: shop }\n";
    const answer = answerOf(denied, { expected: 403, yaml: `${YAML()}---\n${filter}` });
    assert.deepEqual([answer.reproduced, deciding(answer)], [false, ["object-left-out unknown"]]);
    assert.deepEqual(answer.expected, { outcome: 403, met: true });
  });

  it("it is not if the client is not known and decides", () => {
    const open = { from: undefined as unknown as string };
    const differs = answerOf(denied, { more: open });
    assert.deepEqual([differs.reproduced, deciding(differs)], [false, ["other-caller yes"]]);
    assert.deepEqual(deciding(answerOf(denied, { more: open, others: denied })), []);
  });

  it("it is not if the reporter saw another answer", () => {
    assert.deepEqual(deciding(answerOf(denied, { seen: 200 })), ["seen-otherwise yes"]);
    assert.deepEqual(deciding(answerOf(denied, { seen: 403 })), []);
    assert.deepEqual(deciding(answerOf({ status: 0, by: "nobody" }, { seen: "closed" })), []);
  });

  it("it is not if the token has expired since, and the ticket does not show whether it had when it was sent", () => {
    const times = (given: Got, options: { seen?: Seen; tokenWas?: TokenState } = {}) => {
      const tokens = [{ header: {}, claims: { iss: "https://me.example", iat: 1000, exp: 1300 } }];
      const { tokenWas, seen } = options;
      const expired: Got = { status: 401, by: "authentication", body: "Jwt is expired" };
      const more = { tokens, ...(tokenWas && { tokenWas }) };
      return answerOf(given, { others: expired, more, ...(seen !== undefined && { seen }) });
    };
    const valid = { status: 200, by: "workload" } as const;
    const answer = times(valid);
    assert.deepEqual([answer.reproduced, deciding(answer)], [false, ["token-times unknown"]]);
    assert.deepEqual(answer.matrix.columns.slice(0, 3), ["none", "given", "given-expired"]);
    assert.deepEqual(deciding(times(valid, { seen: 200 })), []);
    assert.deepEqual(deciding(times({ status: 401, by: "authentication" })), []);
    assert.deepEqual(deciding(times(valid, { tokenWas: "valid" })), []);
    const otherwise = times(valid, { seen: 401 });
    assert.deepEqual(deciding(otherwise), ["seen-otherwise yes", "token-times unknown"]);
    const seen = otherwise.differences.find((one) => one.kind === "seen-otherwise");
    assert.ok(seen?.kind === "seen-otherwise" && seen.columns.includes("given-expired"));
  });

  it("the reporter may have seen a text", () => {
    const got = { status: 401, by: "authentication", body: "Jwt is expired" } as const;
    assert.deepEqual(deciding(answerOf(got, { seen: { text: "jwt is EXPIRED" } })), []);
    assert.deepEqual(deciding(answerOf(got, { seen: { text: "Jwt is missing" } })), ["seen-otherwise yes"]);
  });

  it("it is not if an address decides, and it is if the address does not", () => {
    const yaml = YAML().replace("rules: [{}]", 'rules: [{ from: [{ source: { ipBlocks: ["10.0.0.0/8"] } }] }]');
    const by = (kind: "source-ip" | "method", beside: readonly RuleFact["action"][] = []): Explanation => {
      const condition: Condition = {
        field: { kind },
        requires: { kind: "address-range", value: "10.0.0.0/8" },
        got: { kind: "text", text: "10.1.2.3" },
        agrees: true,
      };
      const rule = { ...RULE, action: "DENY", dryRun: false, matched: true, conditions: [condition] } as const;
      const sure = beside.map((action) => ({ ...rule, action, conditions: [] }));
      return { ...denied403(rule), rules: [rule, ...sure] };
    };
    const sure = { ...denied, explanation: by("source-ip", ["DENY"]) };
    assert.deepEqual(deciding(answerOf(sure, { yaml })), [], "another rule denies, whatever the address is");
    const allowed = { ...denied, explanation: by("source-ip", ["ALLOW"]) };
    assert.deepEqual(deciding(answerOf(allowed, { yaml })), ["address unknown"]);
    assert.deepEqual(deciding(answerOf({ ...denied, explanation: by("source-ip") }, { yaml })), ["address unknown"]);
    assert.deepEqual(deciding(answerOf({ ...denied, explanation: by("method") }, { yaml })), []);
    assert.deepEqual(deciding(answerOf(denied, { yaml })), ["address unknown"]);
    const missed = (beside: Condition["field"]): Explanation => {
      const [rule] = by("source-ip").rules as [RuleFact];
      const failing = [rule.conditions[0]!, { ...rule.conditions[0]!, field: beside }].map((one) => ({
        ...one,
        agrees: false,
      }));
      return { ...denied403(rule), rules: [{ ...rule, action: "ALLOW", matched: false, conditions: failing }] };
    };
    const claim = missed({ kind: "claim", name: "iss" });
    assert.deepEqual(
      deciding(answerOf({ ...denied, explanation: claim }, { yaml })),
      ["address unknown"],
      "another source",
    );
    assert.deepEqual(deciding(answerOf({ ...denied, explanation: missed({ kind: "path" }) }, { yaml })), []);
    assert.deepEqual(deciding(answerOf(denied, { yaml, seen: 403 })), [], "the reporter's address got the same answer");
    assert.deepEqual(deciding(answerOf(denied, { yaml, seen: 200 })), ["seen-otherwise yes", "address unknown"]);
  });
});

describe("expectations", () => {
  it("are the mesh's answers", () => {
    const kept = expectations(answerOf({ status: 403, by: "authorization" }));
    assert.ok("expect" in kept);
    assert.deepEqual(kept.expect(0, 1), { status: 403, by: "authorization" });
    assert.deepEqual(kept.expect(0, 0), { status: 200, by: "workload" });
  });
  it("there are none without an admitted request or without an answer", () => {
    const denied = { status: 403, by: "authorization" } as const;
    const alone = expectations(answerOf(denied, { others: denied }));
    assert.match("why" in alone ? alone.why : "", /no request was admitted/);
    const silent = expectations(answerOf({ status: 0, by: "nobody" }));
    assert.match("why" in silent ? silent.why : "", /no answer/);
  });
});
