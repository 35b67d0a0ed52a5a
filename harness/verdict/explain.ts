/** Finds who denied a request, and why. */

import type { Denial } from "../model/finding.ts";
import type { Answer } from "../model/result.ts";
import { attribute, type Evidence } from "./attribute.ts";

/** Undefined for an answer that is not a denial. Response code details take precedence over the body: they name the policy. */
export function explainDenial(answer: Evidence & Partial<Pick<Answer, "by">>): Denial | undefined {
  const { details = "", body } = answer;
  switch (answer.by ?? attribute(answer)) {
    case "authentication": {
      // Envoy replaces each space in details by an underscore.
      const status = /^jwt_authn_access_denied\{(.*)\}$/.exec(details)?.[1]?.replaceAll("_", " ") ?? body;
      return { kind: "denied-by-authentication", status };
    }
    case "authorization":
      return explainAuthorization(details);
    default:
      return undefined;
  }
}

function explainAuthorization(details: string): Denial {
  const name = /^rbac_access_denied_matched_policy\[(.*)\]$/.exec(details)?.[1];
  if (name === undefined)
    return { kind: details.startsWith("ext_authz_") ? "denied-by-external-authorizer" : "denied-by-some-policy" };
  if (name === "none") return { kind: "denied-by-no-rule" };
  // Istio's names of rules: pilot/pkg/security/authz/builder/builder.go, policyName.
  const [, namespace, policy, index] = /ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$/.exec(name) ?? [];
  if (namespace === undefined || policy === undefined) return { kind: "denied-by-rule", rule: { name } };
  return { kind: "denied-by-rule", rule: { name, policy: { namespace, name: policy }, index: Number(index) } };
}
