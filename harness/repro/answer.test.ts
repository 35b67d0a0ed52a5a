import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CheckResult } from "../model/result.ts";
import { describeCause } from "../../reports/words.ts";
import type { Condition, Explanation, Reason } from "../model/explanation.ts";
import type { ObjectFinding } from "../model/finding.ts";
import { expectations, readAnswer, type Asked } from "./answer.ts";
import { readRequest } from "./curl-line.ts";
import { readObjects } from "./stand-in.ts";
import { translate, type Ticket } from "./translate.ts";
import type { ReproAnswer } from "../model/ticket.ts";

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

/** An answer in which the given cell is as told and every other is the workload's, or the same. */
function answerOf(
  given: Got,
  {
    yaml = YAML(),
    findings = [],
    others = {},
    expected,
  }: { yaml?: string; findings?: ObjectFinding[]; others?: Got; expected?: number } = {},
): ReproAnswer {
  const ticket: Ticket = {
    name: "t",
    objects: readObjects(yaml, "t.yaml"),
    request: readRequest("GET /orders", []),
    token: { header: {}, claims: { iss: "https://other.example", aud: "b" } },
    jwks: "reachable",
    image: "image: nginx:1",
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
  const object = { kind: "AuthorizationPolicy", name: "policy", namespace: "foo" };
  const objects = [{ ...object, file: "scenarios/tickets/t/01-policy.yaml", findings }];
  const asked = { versions: { istio: "1.31.0" }, observations, objects };
  return readAnswer(asked as unknown as Asked, translation, ticket, expected, { ns: "foo", outside: "outside" });
}

function explained(decision: Explanation["decision"]): Explanation {
  return { decision, filtersAsked: true, tokensAsked: true, path: "/orders", providers: [], rules: [] };
}

const RULE = { name: "ns[foo]-policy[policy]-rule[0]", policy: { namespace: "foo", name: "policy" }, index: 0 };

function denied(reason: Reason): Explanation {
  return explained({ verdict: "denied", status: 403, by: "authorization", reason });
}

const DENIED = denied({ kind: "denied", rule: { ...RULE, conditions: [] } });
const ADMITTED = explained({ verdict: "admitted", status: 200, by: "nobody", reason: { kind: "no-policy" } });
const NOT_FETCHED: ObjectFinding = { kind: "keys-not-fetched", issuers: ["https://me.example"] };

describe("readAnswer", () => {
  it("says which issuers are trusted", () => {
    const { cause } = answerOf({ status: 401, by: "authentication", body: "Jwt issuer is not configured" });
    assert.equal(
      describeCause(cause),
      `The token's issuer "https://other.example" is not among the trusted ["https://me.example"], so jwt_authn answers 401.`,
    );
  });
  it("tells the placeholder before what jwt_authn says", () => {
    assert.deepEqual(
      answerOf({ status: 401, by: "authentication", body: "Jwt verification fails" }, { findings: [NOT_FETCHED] })
        .cause,
      { kind: "keys-not-fetched", issuers: ["https://me.example"], status: 401 },
    );
    // Keys that are missing do not explain a policy's refusal.
    assert.equal(
      answerOf({ status: 403, by: "authorization", explanation: DENIED }, { findings: [NOT_FETCHED] }).cause.kind,
      "decision",
    );
  });
  it("does not blame the keys for what is found before them", () => {
    const got = { status: 403, by: "authentication", body: "Audiences in Jwt are not allowed" } as const;
    assert.deepEqual(answerOf(got, { findings: [NOT_FETCHED] }).cause, {
      kind: "token-audience",
      aud: ["b"],
      allowed: [],
      status: 403,
    });
  });
  it("calls policies as the ticket does", () => {
    const answer = answerOf({
      status: 403,
      by: "authorization",
      explanation: DENIED,
      details: "rbac[ns[foo]-policy[policy]-rule[0]]",
    });
    assert.match(describeCause(answer.cause), /AuthorizationPolicy shop\/policy denies it/);
    assert.equal(answer.verdict.details, "rbac[ns[shop]-policy[policy]-rule[0]]");
  });
  it("believes the mesh where the config was read to mean something else", () => {
    const answer = answerOf({ status: 200, by: "workload", explanation: DENIED });
    assert.equal(describeCause(answer.cause), "The request got 200 by the workload.");
    assert.deepEqual(
      answer.notes.map(({ kind }) => kind),
      ["disputed"],
    );
    assert.equal(answer.inForce, undefined);
  });
  it("does not say that a request goes through which got no answer of the workload", () => {
    const answer = answerOf({ status: 503, by: "proxy", details: "upstream_reset", explanation: ADMITTED });
    assert.equal(
      describeCause(answer.cause),
      "No rule or policy refuses the request, but it got 503 by the proxy (upstream_reset).",
    );
    assert.deepEqual(answer.inForce, { providers: [], rules: [] });
  });
  it("keeps what each cell got and what its proxy's config says, in the ticket's names", () => {
    const answer = answerOf(
      { status: 403, by: "authorization", explanation: DENIED, details: "rbac[ns[foo]-policy[policy]-rule[0]]" },
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
    assert.match(answer.standIn, /kind: Deployment[^]*namespace: foo|namespace: foo[^]*kind: Deployment/);
  });
  it("names the port where the mesh takes it for TCP", () =>
    assert.deepEqual(answerOf({ status: 0, by: "nobody" }, { yaml: YAML("tcp-web") }).cause, {
      kind: "tcp-port",
      port: 80,
      name: "tcp-web",
      status: 0,
    }));
  it("blames the audience only where nothing else of the rule fails", () => {
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
  it("names what a policy in another namespace selects, in the ticket's words", () => {
    const object = { kind: "AuthorizationPolicy", namespace: "outside", name: "policy" };
    const pods = [{ namespace: "foo", pod: "ticket-1", labels: { app: "ticket-sleep" } }];
    const finding: ObjectFinding = { kind: "selects-no-pod", object, selector: { app: "ticket-sleep" }, pods };
    const { cause } = answerOf({ status: 200, by: "workload" }, { findings: [finding] });
    assert.ok(cause.kind === "selects-no-pod");
    assert.deepEqual([cause.selector, cause.elsewhere], [{ app: "sleep" }, true]);
  });
  it("takes 200 for whatever the workload says, and a workload's own 403 for no refusal", () => {
    assert.equal(answerOf({ status: 404, by: "workload" }, { expected: 200 }).expected?.met, true);
    assert.equal(answerOf({ status: 403, by: "workload" }, { expected: 403 }).expected?.met, false);
    assert.equal(answerOf({ status: 403, by: "authorization" }, { expected: 403 }).expected?.met, true);
    assert.equal(answerOf({ status: 403, by: "authorization" }, { expected: 200 }).expected?.met, false);
  });
});

describe("expectations", () => {
  it("are the mesh's answers", () => {
    const kept = expectations(answerOf({ status: 403, by: "authorization" }));
    assert.ok("expect" in kept);
    assert.deepEqual(kept.expect(0, 1), { status: 403, by: "authorization" });
    assert.deepEqual(kept.expect(0, 0), { status: 200, by: "workload" });
  });
  it("are none without an admitted request or without an answer", () => {
    const denied = { status: 403, by: "authorization" } as const;
    const alone = expectations(answerOf(denied, { others: denied }));
    assert.match("why" in alone ? alone.why : "", /no request was admitted/);
    const silent = expectations(answerOf({ status: 0, by: "nobody" }));
    assert.match("why" in silent ? silent.why : "", /no answer/);
  });
});
