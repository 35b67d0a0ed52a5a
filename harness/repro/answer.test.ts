import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { CheckResult, RunResult } from "../model/result.ts";
import { OTHERWISE } from "../oracle/index.ts";
import { expectations, readAnswer } from "./answer.ts";
import { readRequest } from "./curl-line.ts";
import { formatAnswer } from "./format.ts";
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

type Got = Partial<CheckResult["got"]> & { readonly explanation?: string };

/** An answer in which the given cell is as told and every other is the workload's, or the same. */
function answerOf(
  given: Got,
  {
    yaml = YAML(),
    notes = [],
    others = {},
    expected,
  }: { yaml?: string; notes?: string[]; others?: Got; expected?: number } = {},
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
  const checks = translation.columns.map((column, index) => {
    const { explanation, ...got } = column === translation.given ? given : others;
    return {
      name: column,
      curl: "curl",
      request: { token: column },
      cell: { matrix: 0, row: 0, column: index },
      got: { status: 200, by: "workload", body: "", headers: {}, totalMs: 1, ...got },
      ...(explanation === undefined ? {} : { explanation }),
    };
  });
  const objects = notes.map((note) => ({
    ...{
      kind: "AuthorizationPolicy",
      name: "policy",
      namespace: "foo",
      file: "scenarios/tickets/t/01-policy.yaml",
      note,
    },
  }));
  const result = { cluster: { versions: { istio: "1.31.0" } }, scenarios: [{ steps: [{ checks, objects }] }] };
  return readAnswer(result as unknown as RunResult, translation, ticket, expected, { ns: "foo", outside: "outside" });
}

const DENIED =
  "The request is denied by authorization with 403: rule 0 of AuthorizationPolicy foo/policy denies it.\n\nTokens\n  none";

describe("readAnswer", () => {
  it("says which issuers are trusted", () => {
    const { cause } = answerOf({ status: 401, by: "authentication", body: "Jwt issuer is not configured" });
    assert.equal(
      cause,
      `The token's issuer "https://other.example" is not among the trusted ["https://me.example"], so jwt_authn answers 401.`,
    );
  });
  it("tells the placeholder before what jwt_authn says", () => {
    const notes = [
      "istiod could not fetch the keys of https://me.example: the proxies hold its placeholder key, which rejects every token",
    ];
    assert.match(
      answerOf({ status: 401, by: "authentication", body: "Jwt verification fails" }, { notes }).cause,
      /^The keys of https:\/\/me\.example could not be fetched/,
    );
    // Keys that are missing do not explain a policy's refusal.
    assert.doesNotMatch(
      answerOf({ status: 403, by: "authorization", explanation: DENIED }, { notes }).cause,
      /could not be fetched/,
    );
  });
  it("does not blame the keys for what is found before them", () => {
    const notes = [
      "istiod could not fetch the keys of https://me.example: the proxies hold its placeholder key, which rejects every token",
    ];
    const got = { status: 403, by: "authentication", body: "Audiences in Jwt are not allowed" } as const;
    assert.match(answerOf(got, { notes }).cause, /^The token is valid, but its audience \["b"\]/);
  });
  it("calls policies as the ticket does", () => {
    const answer = answerOf({
      status: 403,
      by: "authorization",
      explanation: DENIED,
      details: "rbac[ns[foo]-policy[policy]-rule[0]]",
    });
    assert.match(answer.cause, /AuthorizationPolicy shop\/policy denies it/);
    assert.equal(answer.verdict.details, "rbac[ns[shop]-policy[policy]-rule[0]]");
  });
  it("believes the mesh where the config was read to mean something else", () => {
    const answer = answerOf({ status: 200, by: "workload", explanation: OTHERWISE + DENIED });
    assert.equal(answer.cause, "The request got 200 by the workload.");
    assert.match(answer.notes.join(), /by its config, as meshproof reads it, the proxy would answer otherwise/);
    assert.deepEqual(answer.inForce, []);
  });
  it("does not say that a request goes through which got no answer of the workload", () => {
    const explanation = "The request goes through to the workload: no policy refuses it.\n\nTokens\n  none";
    const answer = answerOf({ status: 503, by: "proxy", details: "upstream_reset", explanation });
    assert.equal(answer.cause, "No rule or policy refuses the request, but it got 503 by the proxy (upstream_reset).");
    assert.deepEqual(answer.inForce, ["Tokens", "  none"]);
  });
  it("keeps what each cell got and what its proxy's config says, in the ticket's names", () => {
    const answer = answerOf(
      { status: 403, by: "authorization", explanation: DENIED, details: "rbac[ns[foo]-policy[policy]-rule[0]]" },
      { notes: ["in no proxy"] },
    );
    const { columns, rows, given } = answer.matrix;
    const cell = rows[0]?.cells[columns.indexOf(given)];
    assert.equal(given, "given");
    assert.deepEqual(
      [cell?.token, cell?.details, cell?.curl],
      ["given", "rbac[ns[shop]-policy[policy]-rule[0]]", "curl"],
    );
    assert.match(cell?.explanation ?? "", /AuthorizationPolicy shop\/policy denies it/);
    assert.equal(answer.applied[0]?.file, "01-policy.yaml");
    assert.match(answer.standIn, /kind: Deployment[^]*namespace: foo|namespace: foo[^]*kind: Deployment/);
  });
  it("names the port where the mesh takes it for TCP", () =>
    assert.match(
      answerOf({ status: 0, by: "nobody" }, { yaml: YAML("tcp-web") }).cause,
      /^Port 80 is named "tcp-web"/,
    ));
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

describe("formatAnswer", () => {
  it("lets nothing of the mesh's move the terminal's cursor", () => {
    const text = formatAnswer(answerOf({ status: 401, by: "authentication", body: "\u001b[2Jgone" }));
    assert.ok(!text.includes("\u001b"));
    assert.match(text, /\[2Jgone/);
  });
});
