/** Problems of the tokens that a scenario describes: what their issuer cannot make, and what contradicts itself. */

import type { Node } from "yaml";
import type { StepSpec } from "../model/scenario.ts";
import type { Issuer, TokenSpec } from "../model/token.ts";
import { canBreak } from "../tokens/break.ts";
import { contradictionOf, RAW } from "../tokens/raw.ts";
import { didYouMean, type Problem } from "./problem.ts";
import { textOf, valueOf } from "./source.ts";

export function findIssuer(
  node: Node,
  issuers: ReadonlyMap<string, Issuer>,
  report: (at: Node, message: string, hint?: string) => void,
): Issuer | undefined {
  const issuer = issuers.get(textOf(node));
  const names = [...issuers.keys()];
  if (issuer === undefined)
    report(node, `unknown issuer "${textOf(node)}"`, didYouMean(textOf(node), names, `there are ${names.join(", ")}`));
  return issuer;
}

/** Checks that the issuer can make the token. */
export function checkToken(
  node: Node,
  issuers: ReadonlyMap<string, Issuer>,
  report: (at: Node, message: string, hint?: string) => void,
): void {
  const spec = node.toJSON() as TokenSpec;
  const issuer = findIssuer(valueOf(node, "issuer")!, issuers, report);
  if (issuer === undefined) return;
  const algorithms = new Set<string>(issuer.keys.map(({ alg }) => alg));
  if (spec.alg !== undefined && !algorithms.has(spec.alg))
    report(
      valueOf(node, "alg")!,
      `issuer ${spec.issuer} has no ${spec.alg} key`,
      `it has ${[...algorithms].join(", ")}`,
    );
  for (const [raw, others] of Object.entries(RAW) as [keyof typeof RAW, readonly (keyof TokenSpec)[]][])
    for (const key of others)
      if (spec[raw] !== undefined && spec[key] !== undefined)
        report(valueOf(node, key)!, `"${key}" cannot be combined with "${raw}"`);
  if (!spec.published) return;
  if (issuer.publishedToken === undefined)
    report(valueOf(node, "published")!, `issuer ${spec.issuer} publishes no token`);
  for (const key of [
    ...RAW.rawPayload,
    "alg",
    "signedBy",
    "header",
    ...(Object.keys(RAW) as (keyof typeof RAW)[]),
  ] as const)
    if (spec[key] !== undefined)
      report(valueOf(node, key)!, `a published token is used unchanged: "${key}" cannot change it`);
}

/** Checks that each token has the variants that checks ask for. */
export function checkVariants(
  steps: readonly StepSpec[],
  specs: Readonly<Record<string, TokenSpec>>,
  issuers: ReadonlyMap<string, Issuer>,
): Problem[] {
  const problems: Problem[] = [];
  for (const { token, variant, position } of steps.flatMap((step) => step.checks)) {
    const made = specs[token];
    const { issuer, alg = issuers.get(issuer ?? "")?.keys[0]?.alg, variant: own } = made ?? {};
    const applied = variant ?? own;
    const contradiction = applied && contradictionOf(made, applied);
    if (contradiction !== undefined) problems.push({ position, message: contradiction });
    else if (applied !== undefined && alg !== undefined && !canBreak(applied, alg))
      problems.push({ position, message: `a token of ${alg} has no variant ${applied}` });
  }
  return problems;
}
