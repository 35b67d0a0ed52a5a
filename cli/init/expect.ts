/**
 * What a first scenario expects of policies, where they are simple enough that their text says it. Anything else is left to the user:
 * an expectation that is guessed proves nothing.
 */

import { fieldsOf, listOf } from "../../harness/policies/names.ts";
import type { TicketObject } from "../../harness/repro/ticket.ts";

/** What a request must have to be allowed. */
export interface Needs {
  readonly path: string;
  readonly method: string;
  readonly claims: Readonly<Record<string, unknown>>;
  /** The status without a token: 403 where a rule demands one. */
  readonly none: 200 | 403;
}

const DEFAULT_PATH = "/headers";

/** What these AuthorizationPolicies of one workload demand together; undefined where it is not simple. */
export function expectationsOf(policies: readonly TicketObject[]): Needs | undefined {
  if (policies.length === 0) return { path: DEFAULT_PATH, method: "GET", claims: {}, none: 200 };
  const [policy] = policies;
  if (policies.length > 1 || policy === undefined) return undefined;
  const action = policy.spec?.["action"] ?? "ALLOW";
  const rules = listOf(policy.spec, "rules");
  if (action === "DENY" && rules.length === 1) {
    const rule = fieldsOf(rules[0]);
    const isTokenless =
      Object.keys(rule).length === 1 &&
      JSON.stringify(rule["from"]) === JSON.stringify([{ source: { notRequestPrincipals: ["*"] } }]);
    return isTokenless ? { path: DEFAULT_PATH, method: "GET", claims: {}, none: 403 } : undefined;
  }
  // Another rule may allow what the first one does not.
  if (action !== "ALLOW" || rules.length !== 1) return undefined;
  const rule = fieldsOf(rules[0]);
  const source = onlyOf(rule["from"], "source");
  const operation = onlyOf(rule["to"], "operation");
  if (source === undefined || operation === undefined) return undefined;
  const { requestPrincipals, ...otherSources } = source;
  const { paths, methods, ...otherOperations } = operation;
  if (Object.keys(otherSources).length + Object.keys(otherOperations).length > 0) return undefined;
  const principal = requestPrincipals === undefined ? {} : claimsOfPrincipal(firstOf(requestPrincipals));
  const conditions = claimsOfConditions(listOf(rule, "when"));
  if (principal === undefined || conditions === undefined) return undefined;
  const path = paths === undefined ? DEFAULT_PATH : pathLike(firstOf(paths));
  const method = methods === undefined ? "GET" : firstOf(methods);
  if (path === undefined || method === undefined || !/^[A-Z]+$/.test(method) || method === "HEAD") return undefined;
  const claims = { ...principal, ...conditions };
  const asks = requestPrincipals !== undefined || listOf(rule, "when").length > 0;
  return { path, method, claims, none: asks ? 403 : 200 };
}

/** What a list's only entry has under a key. Empty without a list; undefined where it has another number of entries. */
function onlyOf(list: unknown, key: string): Readonly<Record<string, unknown>> | undefined {
  if (list === undefined) return {};
  return Array.isArray(list) && list.length === 1 ? fieldsOf(fieldsOf(list[0])[key]) : undefined;
}

function firstOf(list: unknown): string | undefined {
  const first: unknown = Array.isArray(list) ? list[0] : undefined;
  return typeof first === "string" ? first : undefined;
}

function claimsOfPrincipal(principal: string | undefined): Record<string, unknown> | undefined {
  if (principal === undefined) return undefined;
  const subject = principal.slice(principal.lastIndexOf("/") + 1);
  return principal.endsWith("*") ? {} : principal.startsWith("*") || subject === "" ? undefined : { sub: subject };
}

function claimsOfConditions(conditions: readonly unknown[]): Record<string, unknown> | undefined {
  const claims: Record<string, unknown> = {};
  for (const condition of conditions) {
    const { key, values, ...more } = fieldsOf(condition);
    const claim = /^request\.auth\.claims\[([^\]]+)\]$/.exec(String(key))?.[1];
    const value = firstOf(values);
    if (claim === undefined || value === undefined || value.includes("*") || Object.keys(more).length > 0)
      return undefined;
    claims[claim] = claim === "aud" || claim === "scope" ? value : [value];
    if (claim === "iss" || claim === "sub" || claim === "azp") claims[claim] = value;
  }
  return claims;
}

/** A path that a pattern matches: `/orders/*` → `/orders/x`. */
function pathLike(pattern: string | undefined): string | undefined {
  if (pattern === undefined || /[{}\s]/.test(pattern)) return undefined;
  const path = pattern.endsWith("*") ? `${pattern.slice(0, -1)}x` : pattern;
  return path.startsWith("/") && !path.includes("*") ? path : undefined;
}
