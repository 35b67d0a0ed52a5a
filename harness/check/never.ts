/** Values of rules that no usual request has. Pure. Only what is certain: a rule that seldom matches is not reported. */

import type { NeverMatches } from "../model/check.ts";
import type { PathNormalization } from "../model/cluster.ts";
import type { Explanation } from "../model/explanation.ts";
import { type Evidence, nameField, type Written } from "./coverage.ts";
import { partsOf, type FieldPath, type RulePart } from "./rule-parts.ts";
import type { Position } from "../model/scenario.ts";

type Because = NeverMatches["because"];

export interface NeverContext {
  readonly normalization: PathNormalization;
  /** The ports of Services that no selected pod listens on. */
  readonly servicePorts: ReadonlySet<string>;
  /** The issuers of the jwtRules. */
  readonly issuers: ReadonlySet<string>;
}

export function neverMatching(
  evidence: readonly (Evidence & { readonly context: NeverContext })[],
  placeOf: (written: Written, path: FieldPath) => Position,
): NeverMatches[] {
  const found = new Map<string, NeverMatches>();
  for (const { written, explanations, context } of evidence)
    for (const one of written.filter(({ object }) => object.kind === "AuthorizationPolicy"))
      for (const part of partsOf(one.object))
        for (const [index, value] of part.values.entries()) {
          const because = whyNever(part, value, context) ?? whyNotText(one, part, explanations);
          if (because === undefined) continue;
          const path = part.name.startsWith("when.") ? part.path : [...part.path, index];
          const position = placeOf(one, path);
          const { kind, metadata } = one.object;
          const object = { kind, namespace: metadata.namespace ?? "", name: metadata.name };
          const field = nameField(path);
          found.set(`${position.file}:${position.line} ${object.name} ${field} ${value}`, {
            ...{ object, field, position, value, because },
          });
        }
  return [...found.values()];
}

function whyNever({ name }: RulePart, value: string, context: NeverContext): Because | undefined {
  // Behind the first and before the last character it is that character, in each field but a path's template.
  const isLiteral = /(from|to)\./.test(name) && /.\*./.test(value) && !/\{\*\*?\}/.test(value);
  if (isLiteral && !value.includes("//*")) return "star-in-the-middle";
  switch (name.replace(/^(from|to|when)\.(?:not ?)?(.)/, (_, _key, first: string) => first.toLowerCase())) {
    case "paths":
      return whyNoPath(value, context);
    case "methods":
      return /^[a-z]+$/.test(value) ? "lower-case-method" : undefined;
    case "ports":
    case "destination.port":
      return context.servicePorts.has(value) ? "service-port" : undefined;
    case "principals":
    case "source.principal":
      return value.startsWith("spiffe://") ? "spiffe-prefix" : undefined;
    case "requestPrincipals":
    case "request.auth.principal":
      return isIssuerAlone(value, context.issuers) || !/[/*]/.test(value)
        ? "request-principal-without-subject"
        : undefined;
    default:
      return undefined;
  }
}

/** The text may be another issuer and its subject, too. */
function isIssuerAlone(value: string, issuers: ReadonlySet<string>): boolean {
  return issuers.has(value) && ![...issuers].some((issuer) => value.startsWith(`${issuer}/`));
}

/** A `{*}` or `{**}` makes it a template; a `*` is a wildcard at the beginning or the end alone. */
function whyNoPath(value: string, { normalization }: NeverContext): Because | undefined {
  if (/\{\*\*?\}/.test(value)) return undefined;
  const inner = value.replace(/^\*|\*$/, "");
  if (!/^[/*]/.test(value)) return "path-without-slash";
  // Requests compare without their query.
  if (/[?#]/.test(inner)) return "path-with-query";
  if (normalization === "NONE") return undefined;
  const isOdd =
    /\/\.\.?\//.test(inner) ||
    (normalization !== "BASE" && inner.includes("//")) ||
    (normalization === "DECODE_AND_MERGE_SLASHES" && /%(2f|5c)/i.test(inner));
  return isOdd ? "path-not-normalized" : undefined;
}

/** A claim that is a number, a boolean or an object in each token that was compared; lists and text can match. */
function whyNotText(one: Written, part: RulePart, explanations: readonly Explanation[]): Because | undefined {
  if (!part.name.includes("request.auth.claims[") || part.name.startsWith("when.not ")) return undefined;
  const values = explanations.flatMap(({ rules }) =>
    rules
      .filter(({ policy, index }) => policy?.name === one.object.metadata.name && index === part.rule)
      .flatMap(({ conditions }) => conditions.filter(part.makes))
      .flatMap(({ got }) => (got.kind === "json" ? [got.value] : [])),
  );
  const isText = (value: unknown): boolean => typeof value === "string" || Array.isArray(value);
  return values.length > 0 && !values.some(isText) ? "claim-is-not-text" : undefined;
}
