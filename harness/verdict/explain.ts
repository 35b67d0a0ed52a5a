/** Why a proxy denied a request, in words. */

import type { Answer } from "../model/result.ts";
import type { Evidence } from "./attribute.ts";
import { attribute } from "./attribute.ts";

/** Texts of Envoy's source/common/jwt/status.cc, older wordings too, and what they mean. */
const JWT_REASONS: readonly (readonly [text: string, words: string])[] = [
  ["Jwt is missing", "there is no token where one is required"],
  ["Jwt is expired", "the token has expired"],
  ["Jwt not yet valid", "the token is not valid yet (nbf)"],
  ["Jwt is not in the form of Header.Payload.Signature", "what was sent is no JWT"],
  ["Jwt issuer is not configured", "no RequestAuthentication at the proxy names the token's issuer"],
  ["Audiences in Jwt are not allowed", "the token's aud is none of the audiences that the rule allows"],
  ["Jwt verification fails", "the token's signature fits none of the keys that the proxy has for its issuer"],
  [
    "Jwks doesn't have key to match kid or alg from Jwt",
    "the proxy has no key with the token's kid and alg for its issuer",
  ],
  ["Jwks doesn't have any valid public key", "the proxy has no usable key for the token's issuer"],
  ["Jwks remote fetch is failed", "the proxy could not fetch the keys from the jwksUri"],
  ["Found multiple Jwt tokens", "the request has more than one token"],
  ["Jwt header [alg] is not supported", "the proxy does not know the token's alg"],
];

/**
 * One sentence without a full stop, or undefined for an answer that is no denial. Response code details say more than a body:
 * they name the policy.
 */
export function explainDenial(answer: Evidence & Partial<Pick<Answer, "by">>): string | undefined {
  const { details = "", body } = answer;
  switch (answer.by ?? attribute(answer)) {
    case "authentication": {
      // Envoy replaces each blank in details by an underscore.
      const text = /^jwt_authn_access_denied\{(.*)\}$/.exec(details)?.[1] ?? body.replaceAll(" ", "_");
      const known = JWT_REASONS.find(([reason]) => text.startsWith(reason.replaceAll(" ", "_")));
      return `denied by authentication: ${known?.[1] ?? (text === "" ? "no reason given" : text.replaceAll("_", " "))}`;
    }
    case "authorization":
      return explainAuthorization(details);
    default:
      return undefined;
  }
}

function explainAuthorization(details: string): string {
  const matched = /^rbac_access_denied_matched_policy\[(.*)\]$/.exec(details)?.[1];
  if (matched === undefined)
    return details.startsWith("ext_authz_")
      ? "denied by the external authorizer of a CUSTOM policy"
      : "denied by an AuthorizationPolicy";
  if (matched === "none") return "denied because no rule of an ALLOW policy matches";
  // Istio names its rules so: pilot/pkg/security/authz/builder/builder.go, policyName.
  const rule = /ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$/.exec(matched);
  return rule === null
    ? `denied by the rule ${matched}`
    : `denied by AuthorizationPolicy ${rule[1]}/${rule[2]}, rule ${rule[3]}`;
}
