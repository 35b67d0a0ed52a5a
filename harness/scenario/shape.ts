/** Checks YAML nodes against a {@link Shape}, so that every finding has a line and a column. */

import type { Node } from "yaml";
import { isScalar } from "yaml";
import type { Shape } from "./notation.ts";
import { didYouMean, oneOf } from "./problem.ts";
import { entriesOf, itemsOf, kindOf, startOf, textOf } from "./source.ts";

export interface ShapeProblem {
  readonly offset: number;
  readonly message: string;
  readonly hint?: string;
}

/**
 * Everything that differs from the shape, in the order of the file.
 * @param where how messages name the node: its key, such as `checks`
 */
export function checkShape(node: Node | null | undefined, shape: Shape, where: string): ShapeProblem[] {
  const problem = (message: string, hint?: string, at: Node | null | undefined = node): ShapeProblem[] => [
    { offset: startOf(at), message, ...(hint !== undefined && { hint }) },
  ];
  if (shape.anyOf !== undefined) return checkShape(node, chooseAlternative(node, shape.anyOf), where);
  const found = kindOf(node);
  if (!hasType(node, shape)) {
    const quote = shape.type === "string" && (found === "number" || found === "boolean");
    return problem(
      `${where} must be ${describe(shape)}, found ${found === "nothing" || found === "text" ? found : `a ${found}`}`,
      quote ? `put it in quotes: "${textOf(node)}"` : undefined,
    );
  }
  switch (found) {
    case "mapping":
      return checkMapping(node, shape, where);
    case "list":
      return checkList(node, shape, where);
    default: {
      const value = isScalar(node) ? node.value : undefined;
      const allowed = shape.enum ?? (shape.const === undefined ? undefined : [shape.const]);
      if (allowed !== undefined && !allowed.includes(String(value)))
        return problem(
          `${where} must be ${oneOf(allowed)}, found "${textOf(node)}"`,
          didYouMean(textOf(node), allowed),
        );
      if (shape.minLength !== undefined && String(value).trim() === "") return problem(`${where} is empty`);
      const tooSmall = shape.minimum !== undefined && Number(value) < shape.minimum;
      const tooLarge = shape.maximum !== undefined && Number(value) > shape.maximum;
      const unmatched = shape.pattern !== undefined && !new RegExp(shape.pattern, "u").test(String(value));
      return tooSmall || tooLarge || unmatched
        ? problem(`${where} must be ${describe(shape)}, found ${JSON.stringify(value)}`)
        : [];
    }
  }
}

function checkMapping(node: Node | null | undefined, shape: Shape, where: string): ShapeProblem[] {
  const entries = entriesOf(node);
  const known = shape.properties ?? {};
  const rest = shape.additionalProperties;
  const problems: ShapeProblem[] = [];
  for (const { key, keyNode, value } of entries) {
    const inner = Object.hasOwn(known, key) ? known[key] : typeof rest === "object" ? rest : undefined;
    if (inner === undefined && rest === false) {
      const unused = Object.keys(known).filter((name) => !entries.some((entry) => entry.key === name));
      const hint = didYouMean(key, unused, `known keys are ${Object.keys(known).join(", ")}`);
      problems.push({ offset: startOf(keyNode), message: `unknown key "${key}" in ${where}`, ...(hint && { hint }) });
      continue;
    }
    if (shape.propertyNames?.pattern !== undefined && !new RegExp(shape.propertyNames.pattern, "u").test(key))
      problems.push({
        offset: startOf(keyNode),
        message: `"${key}" in ${where} must be ${describe(shape.propertyNames)}`,
      });
    if (inner !== undefined)
      problems.push(...checkShape(value, inner, typeof rest === "object" ? `${where} "${key}"` : key));
  }
  for (const name of shape.required ?? [])
    if (!entries.some((entry) => entry.key === name))
      problems.push({ offset: startOf(node), message: `${where} has no "${name}"` });
  if (shape.minProperties !== undefined && entries.length < shape.minProperties)
    problems.push({ offset: startOf(node), message: `${where} is empty` });
  return problems;
}

function checkList(node: Node | null | undefined, shape: Shape, where: string): ShapeProblem[] {
  const items = itemsOf(node);
  const problems = items.flatMap((item) => checkShape(item, shape.items ?? {}, where));
  if (items.length < (shape.minItems ?? 0)) problems.push({ offset: startOf(node), message: `${where} is empty` });
  if (shape.uniqueItems)
    for (const [index, item] of items.entries())
      if (items.slice(0, index).some((earlier) => textOf(earlier) === textOf(item) && isScalar(item)))
        problems.push({ offset: startOf(item), message: `"${textOf(item)}" stands twice in ${where}` });
  return problems;
}

/** The alternative a person most likely meant: of the node's type, and knowing most of its keys. */
function chooseAlternative(node: Node | null | undefined, alternatives: readonly Shape[]): Shape {
  const keys = entriesOf(node).map(({ key }) => key);
  const score = (shape: Shape): number =>
    hasType(node, shape) ? 1 + keys.filter((key) => Object.hasOwn(shape.properties ?? {}, key)).length : 0;
  const best = alternatives.reduce((a, b) => (score(b) > score(a) ? b : a));
  if (score(best) > 0) return best;
  // Nothing fits: name all of them.
  return { ...alternatives[0]!, title: oneOf(alternatives.map(describe)) };
}

function hasType(node: Node | null | undefined, { type }: Shape): boolean {
  const found = kindOf(node);
  switch (type) {
    case "object":
      return found === "mapping";
    case "array":
      return found === "list";
    case "string":
      return found === "text";
    case "boolean":
      return found === "boolean";
    case "null":
      return found === "nothing";
    case "integer":
      return found === "number" && isScalar(node) && Number.isInteger(node.value);
    default:
      return true;
  }
}

function describe(shape: Shape): string {
  if (shape.title !== undefined) return shape.title;
  if (shape.anyOf !== undefined) return oneOf(shape.anyOf.map(describe));
  if (shape.enum !== undefined) return oneOf(shape.enum);
  switch (shape.type) {
    case "object":
      return "a mapping";
    case "array":
      return "a list";
    case "integer":
      return "a whole number";
    case "boolean":
      return "true or false";
    case "null":
      return "null";
    default:
      return shape.const ?? "text";
  }
}
