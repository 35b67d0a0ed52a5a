/**
 * Which parts of the policies the requests of scenarios prove. A rule is decisive for a request if the request would be answered otherwise
 * without it; a condition, if the request fails that alone. Pure.
 */

import type { CoveragePart, Shadowed } from "../model/check.ts";
import type { Explanation, ProviderFact, RuleFact } from "../model/explanation.ts";
import type { ManifestObject } from "../model/manifest.ts";
import type { Position } from "../model/scenario.ts";
import { partsOf, rulesOf, type FieldPath, type RulePart } from "./rule-parts.ts";

/** An object that a scenario has applied, with the place where it is written. */
export interface Written {
  readonly object: ManifestObject;
  readonly position: Position;
}

/** What one step shows: its objects, and each judging proxy's explanation of each request. */
export interface Evidence {
  readonly written: readonly Written[];
  readonly explanations: readonly Explanation[];
}

export interface Covered {
  readonly parts: readonly CoveragePart[];
  readonly shadowed: readonly Shadowed[];
}

/** @param placeOf the position of a field in its file */
export function coverageOf(
  evidence: readonly Evidence[],
  placeOf: (written: Written, path: FieldPath) => Position,
): Covered {
  const parts = new Map<string, CoveragePart & { decisive: number; matched?: number }>();
  const shadows = new Map<string, Shadowed & { readonly others: Set<string>; alone: boolean }>();
  for (const { written, explanations } of evidence)
    for (const one of written) {
      const part = (kind: CoveragePart["kind"], path: FieldPath) => {
        const position = placeOf(one, path);
        const field = nameField(path);
        const key = `${position.file}:${position.line}:${position.column} ${kind} ${refOf(one).name} ${field}`;
        const found = parts.get(key) ?? { kind, object: refOf(one), field, position, decisive: 0 };
        parts.set(key, found);
        return { found, key };
      };
      if (one.object.kind === "RequestAuthentication")
        for (const [index, rule] of jwtRulesOf(one.object).entries()) {
          const facts = explanations.flatMap(({ providers }) =>
            providers.filter(({ issuer = "" }) => issuer === (rule.issuer ?? "")),
          );
          const path: FieldPath = ["spec", "jwtRules", index];
          part("jwt-rule", path).found.decisive += countOf(facts, "accepted");
          if ((rule.audiences ?? []).length > 0)
            part("audiences", [...path, "audiences"]).found.decisive += countOf(facts, "other-audience");
        }
      if (one.object.kind !== "AuthorizationPolicy" || !isEnforced(one.object)) continue;
      const own = partsOf(one.object);
      for (const index of rulesOf(one.object).keys()) {
        const path: FieldPath = ["spec", "rules", index];
        const { found, key } = part("rule", path);
        for (const explanation of explanations) {
          const fact = explanation.rules.find((rule) => isOf(rule, one, index));
          if (fact === undefined) continue;
          const others = othersMatching(explanation, fact);
          if (fact.matched === true) {
            if (others.length === 0 && isDecidedBy(explanation, fact)) found.decisive++;
            const seen = shadows.get(key) ?? {
              ...{ object: refOf(one), rule: index, position: found.position, by: [] },
              ...{ others: new Set<string>(), alone: false },
            };
            if (others.length === 0) seen.alone = true;
            for (const other of others) seen.others.add(other.name);
            shadows.set(key, seen);
          }
        }
        for (const field of fieldsOf(own.filter(({ rule }) => rule === index)))
          part("condition", field.path).found.decisive += explanations.filter((explanation) =>
            failsAlone(explanation, one, index, own, field),
          ).length;
      }
    }
  return {
    parts: [...parts.values()].map(({ kind, object, field, position, decisive }) => ({
      ...{ kind, object, field, position, decisive },
    })),
    shadowed: [...shadows.values()]
      .filter(({ alone, others }) => !alone && others.size > 0)
      .map(({ object, rule, position, others }) => ({ object, rule, position, by: [...others].sort() })),
  };
}

/** The share of the parts that some request proves, in percent; 100 where there is nothing to prove. */
export function percentOf(parts: readonly CoveragePart[]): number {
  if (parts.length === 0) return 100;
  return Math.floor((100 * parts.filter(({ decisive }) => decisive > 0).length) / parts.length);
}

/** One of the parts for each field of a rule: alternatives in several `from` or `to` are the same condition of the request. */
function fieldsOf(parts: readonly RulePart[]): RulePart[] {
  return [...Map.groupBy(parts, ({ name }) => name).values()].flatMap(([first]) => first ?? []);
}

interface JwtRule {
  readonly issuer?: string;
  readonly audiences?: readonly string[];
}

function jwtRulesOf({ spec }: ManifestObject): readonly JwtRule[] {
  return ((spec ?? {}) as { readonly jwtRules?: readonly JwtRule[] }).jwtRules ?? [];
}

function countOf(facts: readonly ProviderFact[], kind: ProviderFact["found"]["kind"]): number {
  return facts.filter(({ found }) => found.kind === kind).length;
}

function isEnforced({ metadata, spec }: ManifestObject): boolean {
  const { action = "ALLOW" } = (spec ?? {}) as { readonly action?: string };
  return metadata.annotations?.["istio.io/dry-run"] !== "true" && (action === "ALLOW" || action === "DENY");
}

function isOf({ policy, index }: RuleFact, { object }: Written, rule: number): boolean {
  return policy?.name === object.metadata.name && policy.namespace === refNamespace(object) && index === rule;
}

/** Other rules of the same action that match the request as well: without this one, they decide. */
function othersMatching({ rules }: Explanation, fact: RuleFact): RuleFact[] {
  return rules.filter(
    (rule) => rule.name !== fact.name && rule.action === fact.action && !rule.dryRun && rule.matched === true,
  );
}

/** Whether the request gets as far as the rules of this action, and they decide. */
function isDecidedBy({ decision: { verdict, reason } }: Explanation, { action }: RuleFact): boolean {
  return action === "DENY" ? reason.kind === "denied" : verdict === "admitted" || verdict === "answered";
}

/** Whether this field alone keeps a rule from deciding about the request. */
function failsAlone(
  { rules, decision }: Explanation,
  one: Written,
  index: number,
  own: readonly RulePart[],
  field: RulePart,
): boolean {
  const fact = rules.find((rule) => isOf(rule, one, index));
  if (fact?.matched !== false) return false;
  // With the rule, a DENY would deny what is admitted, and an ALLOW would admit what no rule allows.
  if (fact.action === "DENY" ? decision.verdict !== "admitted" : decision.reason.kind !== "not-allowed") return false;
  const failing = own.filter((part) => part.rule === index && fact.conditions.some(part.makes));
  return failing.length > 0 && failing.every(({ name }) => name === field.name);
}

function refOf({ object }: Written): CoveragePart["object"] {
  return { kind: object.kind, namespace: refNamespace(object), name: object.metadata.name };
}

function refNamespace({ metadata }: ManifestObject): string {
  return metadata.namespace ?? "";
}

/** `spec.rules[0].to[0].operation.paths` */
export function nameField(path: FieldPath): string {
  return path.map((one, index) => (typeof one === "number" ? `[${one}]` : index === 0 ? one : `.${one}`)).join("");
}
