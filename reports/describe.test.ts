import assert from "node:assert/strict";
import { test } from "node:test";
import { answer, check, expectation, policy } from "../test/recorded/change.ts";
import {
  describeAdmission,
  describeExpected,
  describeExpectedAdmission,
  describeForce,
  describeGot,
  describeRequest,
  describeWhy,
} from "./describe.ts";

test("expectations as text", () => {
  assert.equal(describeExpected(check("a")), "200 from httpbin");
  assert.equal(
    describeExpected(check("a", { expected: expectation(401, { body: "Jwt is missing", details: "jwt_authn" }) })),
    '401 from authentication with "Jwt is missing" in its body and "jwt_authn" in the proxy\'s details',
  );
  assert.equal(
    describeExpected(check("a", { expected: expectation(200, { jsonKey: "keys" }) })),
    '200 from httpbin with JSON key "keys"',
  );
  const headers = { "www-authenticate": 'Bearer realm="x"', via: null, server: true, date: { matches: "\\d+" } };
  assert.equal(
    describeExpected(check("a", { expected: expectation(401, { body: { is: "Jwt is missing" }, headers }) })),
    '401 from authentication with the body "Jwt is missing" and header www-authenticate: Bearer realm="x" and no header via and the header server and header date that matches "\\d+"',
  );
  assert.equal(
    describeExpected(check("a", { expected: { status: 0, by: "workload", body: { matches: "a.*" } } })),
    'any answer from httpbin with a body that matches "a.*"',
  );
  assert.equal(
    describeExpected(check("a", { expected: { status: 200, grpc: 7, by: "authorization" } })),
    "grpc 7 from authorization",
  );
});

test("answers as text: a denial with its body, a workload's body only if the check compares it", () => {
  assert.equal(describeGot(check("a")), "200 from httpbin");
  assert.equal(describeGot(check("a", { got: answer(403) })), '403 from authorization ("RBAC: access denied")');
  assert.equal(describeGot(check("a", { got: answer(0, { error: "(28) timed out" }) })), "no answer: (28) timed out");
  const grpc = answer(200, { grpc: 7, by: "authorization", body: "RBAC: access denied" });
  assert.equal(describeGot(check("a", { got: grpc })), 'grpc 7 from authorization ("RBAC: access denied")');
  const keys = { expected: expectation(200, { jsonKey: "keys" }), got: answer(200, { body: "\n<html>\n" }) };
  assert.equal(describeGot(check("a", keys)), '200 from httpbin ("<html>")');
});

test("what the API server says as text", () => {
  assert.equal(
    describeExpectedAdmission({ expected: { verdict: "refused", text: "only one of", field: "spec" } }),
    'to be refused ("only one of") at spec',
  );
  assert.equal(describeExpectedAdmission({ expected: { verdict: "accepted" } }), "to be accepted without a warning");
  assert.equal(
    describeAdmission({ got: { verdict: "refused", texts: ["2 errors:\n\t* one\n"], fields: ["spec.a", "spec.b"] } }),
    'it was refused ("2 errors: * one") at spec.a, spec.b',
  );
  assert.equal(describeAdmission({ got: { verdict: "accepted", texts: [], fields: [] } }), "it was accepted");
  assert.equal(
    describeAdmission({ got: { verdict: "warned", texts: ["careful", "slow"], fields: [] } }),
    'it was accepted with a warning ("careful", "slow")',
  );
});

test("a path is printed as it was sent", () => {
  const request = {
    from: "outside",
    to: "ingress",
    method: "GET",
    url: "http://10.0.0.1:80/a/../%2e//b?c=d",
    tokens: [],
  };
  assert.equal(describeRequest(check("a", { request })), "GET /a/../%2e//b?c=d from outside to ingress, no token");
});

test("findings do not repeat the expected and the actual answer", () => {
  const wrong = {
    kind: "unexpected-answer",
    expected: { status: 200, by: "workload" },
    got: { status: 403, by: "authorization" },
    to: "httpbin",
  } as const;
  assert.equal(describeWhy([wrong]), undefined);
  const rule = { name: "r", policy: { namespace: "foo", name: "x" }, index: 0 };
  assert.equal(describeWhy([wrong, { kind: "denied-by-rule", rule }]), "denied by AuthorizationPolicy foo/x, rule 0");
  assert.equal(describeWhy([wrong, { kind: "agreed-before", round: 2 }]), "it had agreed in round 2");
  const asked = { kind: "unexpected-askers", server: "outside-host", expected: "proxy", got: ["istiod"] } as const;
  assert.equal(describeWhy([asked]), undefined);
  assert.equal(describeWhy([{ kind: "recorded", text: "the pod is gone" }]), "the pod is gone");
  assert.equal(describeWhy(), undefined);
});

test("policies are printed with the proxies that have them, or why none has", () => {
  const { inForceMs: _seen, ...unseen } = policy({ proxies: [] });
  assert.equal(describeForce(policy({ inForceMs: 402 })), "in force at the proxy since 0.40 s");
  assert.equal(describeForce(policy({ proxies: ["foo/a", "foo/b"] })), "in force at 2 proxies since 0.12 s");
  assert.equal(describeForce(unseen), "applied");
  const object = { kind: "RequestAuthentication", namespace: "foo", name: "jwt-example" };
  const findings = [{ kind: "selects-no-pod", object, selector: { app: "x" }, pods: [] }] as const;
  assert.match(
    describeForce({ ...unseen, findings }),
    /^in no proxy: RequestAuthentication foo\/jwt-example selects none of the pods .*app=x/,
  );
  assert.equal(describeForce({ ...unseen, findings }, findings), "in no proxy");
  assert.equal(describeForce(policy({ verb: "delete" })), "gone from the proxy after 0.12 s");
});

test("the pods that a policy does not select are told with the labels that it asks for", () => {
  const object = { kind: "AuthorizationPolicy", namespace: "team", name: "deny" };
  const pods = [{ namespace: "foo", pod: "shop-1", labels: { app: "shop" } }];
  const told = (selector: Record<string, string>): string =>
    describeForce({ ...policy({ proxies: [] }), findings: [{ kind: "selects-no-pod", object, selector, pods }] });
  assert.match(told({}), /no selector in namespace team, .* foo\/shop-1$/);
  assert.match(told({ app: "web", tier: "front" }), / foo\/shop-1 \(app=shop, without tier\)$/);
});
