/** Evaluates an RBAC filter of Envoy, for a request or for a connection. */

import { MARKER_RULE } from "../verdict/proxy-config.ts";
import type { Decision, RuleFact, RuleRef } from "../model/explanation.ts";
import { matchPolicy } from "./match.ts";
import { at, record, text } from "./tree.ts";
import type { Facts } from "./types.ts";
import { notRead, undecidedBy } from "./undecided.ts";

export interface Judged {
  readonly rules: readonly RuleFact[];
  readonly decision?: Decision;
}

/**
 * Enforced rules decide; shadow rules (dry-run, CUSTOM) are only reported.
 * @param status of a denial: 403, or 0 for a connection
 */
export function judgeRbac(config: unknown, facts: Facts, status: 403 | 0): Judged {
  if (at(config, "matcher") !== undefined || at(config, "shadow_matcher") !== undefined)
    return { rules: [], decision: undecidedBy(notRead("rbac-matcher-tree")) };
  const custom = text(at(config, "shadow_rules_stat_prefix")) === "istio_ext_authz_";
  const shadow = judgeRules(at(config, "shadow_rules"), facts, status, custom ? "CUSTOM" : undefined, !custom);
  const enforced = judgeRules(at(config, "rules"), facts, status, undefined, false);
  const rules = [...shadow.rules, ...enforced.rules];
  return enforced.decision === undefined ? { rules } : { rules, decision: enforced.decision };
}

function judgeRules(
  node: unknown,
  facts: Facts,
  status: 403 | 0,
  as: RuleFact["action"] | undefined,
  dryRun: boolean,
): Judged {
  if (node === undefined) return { rules: [] };
  const action = as ?? ((text(at(node, "action")) || "ALLOW") as RuleFact["action"]);
  // Envoy keeps policies in a sorted map and uses the first that matches.
  const policies = Object.entries(record(at(node, "policies")))
    .filter(([name]) => !MARKER_RULE.test(name))
    .sort(([a], [b]) => (a < b ? -1 : 1));
  const matches = policies.map(([name, policy]) => ({ ref: toRule(name), match: matchPolicy(policy, facts) }));
  const rules = matches.map(({ ref, match: { matched, conditions } }): RuleFact => ({
    ...ref,
    action,
    dryRun,
    matched,
    conditions,
  }));
  if (dryRun || action === "CUSTOM" || action === "LOG") return { rules };
  const sure = matches.find(({ match }) => match.matched === true);
  const open = matches.flatMap(({ match }) => (match.matched === "undecided" ? [match.unknown] : []))[0];
  if (action === "DENY") {
    if (sure === undefined) return open === undefined ? { rules } : { rules, decision: undecidedBy(open) };
    const rule = { ...sure.ref, conditions: sure.match.conditions };
    // An earlier rule that may match would be the one that Envoy names.
    const named = matches.find(({ match }) => match.matched !== false) === sure ? sure.ref.name : undefined;
    return { rules, decision: denied(status, named, { kind: "denied", rule }) };
  }
  if (sure !== undefined) return { rules };
  if (open !== undefined) return { rules, decision: undecidedBy(open) };
  const misses = matches.map(({ ref, match }) => ({ ...ref, conditions: match.conditions }));
  return { rules, decision: denied(status, "none", { kind: "not-allowed", rules: misses }) };
}

function denied(status: 403 | 0, rule: string | undefined, reason: Decision["reason"]): Decision {
  const details = rule === undefined ? {} : { details: `rbac_access_denied_matched_policy[${rule}]` };
  return { verdict: "denied", status, by: "authorization", ...details, reason };
}

/** Parses Istio's names of rules (pilot/pkg/security/authz/builder/builder.go, policyName). */
function toRule(name: string): RuleRef {
  const [, namespace, policy, index] = /ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$/.exec(name) ?? [];
  if (namespace === undefined || policy === undefined) return { name };
  return { name, policy: { namespace, name: policy }, index: Number(index) };
}

export function refOf({ name, policy, index }: RuleRef): RuleRef {
  return { name, ...(policy && { policy }), ...(index !== undefined && { index }) };
}
