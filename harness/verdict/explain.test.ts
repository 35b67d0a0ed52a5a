import assert from "node:assert/strict";
import { test } from "node:test";
import { sentence } from "../../reports/words.ts";
import { explainDenial } from "./explain.ts";

const headers = { "www-authenticate": 'Bearer realm="http://httpbin.foo:8000/", error="invalid_token"' };

const CASES: [status: number, body: string, details: string | undefined, words: string | undefined][] = [
  [200, "{}", "via_upstream", undefined],
  [503, "", "no_healthy_upstream", undefined],
  [401, "Jwt is missing", undefined, "denied by authentication: there is no token where one is required"],
  [401, "Jwt is expired", "jwt_authn_access_denied{Jwt_is_expired}", "denied by authentication: the token has expired"],
  [401, "Jwt not yet valid", undefined, "denied by authentication: the token is not valid yet (nbf)"],
  [
    401,
    "Jwt is not in the form of Header.Payload.Signature with two dots and 3 sections",
    undefined,
    "denied by authentication: what was sent is not a JWT",
  ],
  [
    401,
    "",
    "jwt_authn_access_denied{Jwt_header_is_an_invalid_JSON}",
    "denied by authentication: Jwt header is an invalid JSON",
  ],
  [401, "", undefined, "denied by authentication: no reason given"],
  [
    401,
    "Jwks doesn't have key to match kid or alg from Jwt",
    undefined,
    "denied by authentication: the proxy has no key with the token's kid and alg for its issuer",
  ],
  [
    403,
    "Audiences in Jwt are not allowed",
    undefined,
    "denied by authentication: the rule does not allow the token's aud",
  ],
  [403, "RBAC: access denied", undefined, "denied by an AuthorizationPolicy"],
  [
    403,
    "RBAC: access denied",
    "rbac_access_denied_matched_policy[none]",
    "denied because no rule of an ALLOW policy matches",
  ],
  [
    403,
    "RBAC: access denied",
    "rbac_access_denied_matched_policy[ns[foo]-policy[x]-rule[0]]",
    "denied by AuthorizationPolicy foo/x, rule 0",
  ],
  [403, "RBAC: access denied", "rbac_access_denied_matched_policy[other]", "denied by the rule other"],
  [403, "", "ext_authz_denied", "denied by the external authorizer of a CUSTOM policy"],
];

for (const [status, body, details, words] of CASES)
  test(`${status} ${details ?? body}: ${words ?? "no denial"}`, () => {
    const denial = explainDenial({ status, body, headers, ...(details !== undefined && { details }) });
    assert.equal(denial && sentence(denial), words);
  });
