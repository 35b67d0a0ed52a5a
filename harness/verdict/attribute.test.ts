import assert from "node:assert/strict";
import { test } from "node:test";
import { attribute, type Evidence } from "./attribute.ts";

const REALM = 'Bearer realm="http://httpbin.foo:8000/headers"';
const INVALID = `${REALM}, error="invalid_token"`;
const SIDECAR = { server: "envoy", "x-envoy-upstream-service-time": "2" };

function answer(status: number, body = "", headers: Record<string, string> = {}, details?: string): Evidence {
  return { status, body, headers, ...(details !== undefined && { details }) };
}

const CASES: [name: string, evidence: Evidence, by: string][] = [
  ["no answer", answer(0), "nobody"],
  ["the workload's 200", answer(200, "{}", SIDECAR), "workload"],
  ["a missing token", answer(401, "Jwt is missing", { ...SIDECAR, "www-authenticate": REALM }), "authentication"],
  [
    "a bad signature",
    answer(401, "Jwt verification fails", { ...SIDECAR, "www-authenticate": INVALID }),
    "authentication",
  ],
  ["keys not fetched", answer(401, "Jwks remote fetch is failed", { "www-authenticate": INVALID }), "authentication"],
  [
    "an unknown kid",
    answer(401, "Jwks doesn't have key to match kid or alg from Jwt", { "www-authenticate": INVALID }),
    "authentication",
  ],
  ["a broken key set", answer(401, "[kty] is missing in [keys]", { "www-authenticate": INVALID }), "authentication"],
  [
    "a wrong audience",
    answer(403, "Audiences in Jwt are not allowed", { "www-authenticate": INVALID }),
    "authentication",
  ],
  ["a HEAD request", answer(401, "", { "www-authenticate": INVALID }), "authentication"],
  [
    "a request that the sidecar cannot read",
    answer(400, "Bad Request", { ...SIDECAR, "content-type": "text/plain" }),
    "proxy",
  ],
  [
    "a workload's own 400 (Express)",
    answer(400, "Bad Request", { ...SIDECAR, "content-type": "text/plain; charset=utf-8" }),
    "workload",
  ],
  ["RBAC", answer(403, "RBAC: access denied", SIDECAR), "authorization"],
  ["go-httpbin /bearer", answer(401, "", { ...SIDECAR, "www-authenticate": "Bearer" }), "workload"],
  ["httpbin /basic-auth", answer(401, "", { ...SIDECAR, "www-authenticate": 'Basic realm="Fake Realm"' }), "workload"],
  [
    "a workload that checks tokens itself (RFC 6750)",
    answer(401, "Jwt is expired", { ...SIDECAR, "www-authenticate": 'Bearer realm="api", error="invalid_token"' }),
    "workload",
  ],
  ["the mesh's body without its header", answer(401, "Jwt is expired", SIDECAR), "workload"],
  ["the mesh's header with another body", answer(401, "go away", { "www-authenticate": INVALID }), "workload"],
  ["a workload's own 403", answer(403, "forbidden", SIDECAR), "workload"],
  ["a workload that quotes RBAC", answer(403, "RBAC: access denied\n", SIDECAR), "workload"],
  ["the workload's 404", answer(404, "", SIDECAR), "workload"],
  ["a workload without a proxy", answer(404, "", { server: "nginx" }), "workload"],
  ["the gateway has no route", answer(404, "", { server: "istio-envoy" }), "proxy"],
  ["a redirect of the gateway", answer(301, "", { server: "istio-envoy" }), "proxy"],
  ["the client's sidecar reaches no endpoint", answer(503, "no healthy upstream", { server: "envoy" }), "proxy"],
  [
    "the server's sidecar does not reach its workload",
    answer(503, "upstream connect error or disconnect/reset before headers. reset reason: connection failure", SIDECAR),
    "proxy",
  ],
  [
    "gRPC without a token",
    answer(200, "Jwt is missing", { ...SIDECAR, "grpc-status": "16", "www-authenticate": REALM }),
    "authentication",
  ],
  [
    "gRPC with a wrong audience",
    answer(200, "Audiences in Jwt are not allowed", { "grpc-status": "7", "www-authenticate": INVALID }),
    "authentication",
  ],
  ["gRPC and RBAC", answer(200, "RBAC: access denied", { ...SIDECAR, "grpc-status": "7" }), "authorization"],
  ["a workload's own gRPC status", answer(200, "not yours", { ...SIDECAR, "grpc-status": "7" }), "workload"],
  ["a workload's gRPC success", answer(200, "RBAC: access denied", { ...SIDECAR, "grpc-status": "0" }), "workload"],
  ["details: authentication", answer(401, "x", {}, "jwt_authn_access_denied{Jwt_is_expired}"), "authentication"],
  ["details: authorization", answer(403, "", {}, "rbac_access_denied_matched_policy[none]"), "authorization"],
  ["details: external authorizer", answer(302, "", {}, "ext_authz_denied"), "authorization"],
  ["details: proxy", answer(200, "hello", SIDECAR, "direct_response"), "proxy"],
  [
    "details: passed on, but the next sidecar denied",
    answer(403, "RBAC: access denied", SIDECAR, "via_upstream"),
    "authorization",
  ],
];

for (const [name, evidence, by] of CASES) test(`${name} is by ${by}`, () => assert.equal(attribute(evidence), by));
