/** Checks YAML nodes against a schema of harness/model and gives every problem a line and a column. */

import * as z from "zod";
import { isMap, isScalar, isSeq, type Node, visit } from "yaml";
import { didYouMean, oneOf, type Problem } from "./problem.ts";
import { entriesOf, itemsOf, kindOf, type Source, startOf, textOf, valueOf } from "./source.ts";

type Issue = z.core.$ZodIssue;

/** A schema and the node that it describes; `where` is the node's name in messages, `inside` the node around it. */
interface Place {
  readonly schema: z.ZodType;
  readonly node: Node | null | undefined;
  readonly where: string;
  /** The other mappings that the node might have been. */
  readonly others?: readonly z.ZodObject[];
}

type Found = Omit<Problem, "position"> & { readonly offset: number };

export type Located = Found & Problem;

/**
 * Finds every difference between the node and the schema, in the order of the file.
 * @param where the node's name in messages: its key, such as `checks`
 */
export function validate(source: Source, node: Node | null | undefined, schema: z.ZodType, where: string): Located[] {
  return [...problemsAt({ schema, node, where }), ...forbiddenKeys(node)]
    .toSorted((a, b) => a.offset - b.offset)
    .map((problem) => ({ ...problem, position: source.positionAt(problem.offset) }));
}

function problemsAt(place: Place): Found[] {
  const issues = place.schema.safeParse(plain(place.node)).error?.issues ?? [];
  return issues.flatMap((issue) => describeIssue(issue, place));
}

function describeIssue(issue: Issue, start: Place): Found[] {
  let place = start;
  let around = start;
  for (const key of issue.path) {
    around = { ...place, schema: narrow(place) };
    place = step(around, key as string | number);
  }
  const last = String(issue.path.at(-1));
  const { node, where } = place;
  const problem = (message: string, hint?: string, at: Node | null | undefined = node): Found[] => [
    { offset: startOf(at), message, ...(hint !== undefined && { hint }) },
  ];
  const schema = narrow(place);
  switch (issue.code) {
    case "unrecognized_keys":
      return issue.keys.flatMap((key) => {
        const own = Object.keys((schema as z.ZodObject).shape);
        const entries = entriesOf(node);
        const other = start.others?.find(({ shape }) => Object.hasOwn(shape, key));
        const beside = entries.find(
          (entry) => own.includes(entry.key) && !Object.hasOwn(other?.shape ?? {}, entry.key),
        );
        const at = entries.find((entry) => entry.key === key)?.keyNode;
        if (other !== undefined && beside !== undefined)
          return problem(`${where} cannot have both "${beside.key}" and "${key}"`, undefined, at);
        const known = [...new Set([...own, ...(start.others ?? []).flatMap(({ shape }) => Object.keys(shape))])];
        const unused = known.filter((each) => !entries.some((entry) => entry.key === each));
        const hint = didYouMean(key, unused, `known keys are ${known.join(", ")}`);
        return problem(`unknown key "${key}" in ${where}`, hint, at);
      });
    case "invalid_key": {
      const at = entriesOf(around.node).find(({ key }) => key === last)?.keyNode;
      const { keyType } = (around.schema as z.ZodRecord).def;
      // Zod does not check the value of an invalid key.
      return [
        ...problem(`"${last}" in ${around.where} must be ${nounOf(keyType as z.ZodType)}`, undefined, at),
        ...problemsAt(place),
      ];
    }
    case "custom":
      return issue.params?.["twice"] === true
        ? problem(`"${textOf(node)}" is twice in ${where}`)
        : problem(`${where} is empty`);
    case "invalid_union": {
      const { options } = unwrap(place.schema) as z.ZodUnion;
      const inner = issue.errors[options.indexOf(schema)] ?? [];
      const others = options.filter((option) => option instanceof z.ZodObject && option !== schema) as z.ZodObject[];
      if (inner.length > 0) return inner.flatMap((each) => describeIssue(each, { ...place, schema, others }));
      break;
    }
    case "too_small":
      // Zod reports a length limit for every type that has one.
      if (issue.origin !== "number" && issue.origin !== "int")
        return hasType(node, schema) ? problem(`${where} is empty`) : [];
      break;
    default:
  }
  if (isMissing(around, issue)) return problem(`${around.where} has no "${last}"`, undefined, around.node);
  if (!hasType(node, schema)) {
    const found = kindOf(node);
    const quote = takesText(schema) && (found === "number" || found === "boolean");
    return problem(
      `${where} must be ${nounOf(schema)}, found ${foundOf(node)}`,
      quote ? `put it in quotes: "${textOf(node)}"` : undefined,
    );
  }
  if (issue.code === "invalid_value") {
    const allowed = issue.values.map(String);
    return problem(`${where} must be ${oneOf(allowed)}, found "${textOf(node)}"`, didYouMean(textOf(node), allowed));
  }
  return problem(`${where} must be ${nounOf(schema)}, found ${JSON.stringify(plain(node))}`);
}

/** Follows one key of an issue's path. */
function step({ schema, node, where }: Place, key: string | number): Place {
  if (schema instanceof z.ZodObject)
    return { schema: schema.shape[key] as z.ZodType, node: valueOf(node, String(key)), where: String(key) };
  if (schema instanceof z.ZodRecord)
    return { schema: schema.valueType as z.ZodType, node: valueOf(node, String(key)), where: `${where} "${key}"` };
  return { schema: (schema as z.ZodArray<z.ZodType>).element, node: itemsOf(node)[Number(key)], where };
}

function isMissing({ node }: Place, { path }: Issue): boolean {
  return path.length > 0 && kindOf(node) === "mapping" && valueOf(node, String(path.at(-1))) === undefined;
}

/** The schema for this node: for a union the alternative that is most likely meant, or the union if none fits. */
function narrow({ schema, node }: Place): z.ZodType {
  const inner = unwrap(schema);
  if (!(inner instanceof z.ZodUnion)) return inner;
  const keys = entriesOf(node).map(({ key }) => key);
  const isOther = (option: z.ZodType): boolean => option instanceof z.ZodLiteral && !option.values.has(textOf(node));
  const score = (option: z.ZodType): number =>
    hasType(node, option) && !isOther(option)
      ? 1 + (option instanceof z.ZodObject ? keys.filter((key) => Object.hasOwn(option.shape, key)).length : 0)
      : 0;
  const options = inner.options as z.ZodType[];
  const best = options.reduce((a, b) => (score(b) > score(a) ? b : a));
  return score(best) === 0 ? inner : best;
}

function unwrap(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodOptional ? unwrap(schema.unwrap() as z.ZodType) : schema;
}

const isText = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodString ||
  schema instanceof z.ZodEnum ||
  (schema instanceof z.ZodLiteral && [...schema.values].every((value) => typeof value === "string"));

/** Whether the value would be valid in quotes. */
const takesText = (schema: z.ZodType): boolean =>
  schema instanceof z.ZodUnion ? (schema.options as z.ZodType[]).some(isText) : isText(schema);

function hasType(node: Node | null | undefined, schema: z.ZodType): boolean {
  switch (kindOf(node)) {
    case "mapping":
      return schema instanceof z.ZodObject || schema instanceof z.ZodRecord;
    case "list":
      return schema instanceof z.ZodArray;
    case "text":
      return isText(schema);
    case "number":
      return schema instanceof z.ZodNumber && isScalar(node) && Number.isInteger(node.value);
    case "boolean":
      return schema instanceof z.ZodBoolean || (schema instanceof z.ZodLiteral && !isText(schema));
    case "nothing":
      return schema instanceof z.ZodNull;
    case "alias":
      return false;
  }
}

/** The schema's requirement as a noun phrase. */
function nounOf(schema: z.ZodType): string {
  const title = schema.meta()?.title;
  if (title !== undefined) return title;
  if (schema instanceof z.ZodUnion) return oneOf([...new Set((schema.options as z.ZodType[]).map(nounOf))]);
  if (schema instanceof z.ZodEnum) return oneOf(schema.options.map(String));
  if (schema instanceof z.ZodLiteral) return oneOf([...schema.values].map(String));
  if (schema instanceof z.ZodObject || schema instanceof z.ZodRecord) return "a mapping";
  if (schema instanceof z.ZodArray) return "a list";
  if (schema instanceof z.ZodNumber) return "a whole number";
  if (schema instanceof z.ZodBoolean) return "true or false";
  return schema instanceof z.ZodNull ? "null" : "text";
}

function foundOf(node: Node | null | undefined): string {
  const found = kindOf(node);
  return found === "nothing" || found === "text" ? found : `a ${found}`;
}

/** The node's value, with keys as in the file, so that an issue's path leads to its node. */
function plain(node: Node | null | undefined): unknown {
  if (isMap(node)) return Object.fromEntries(entriesOf(node).map(({ key, value }) => [key, plain(value)]));
  if (isSeq(node)) return itemsOf(node).map(plain);
  return isScalar(node) ? node.value : null;
}

/** Zod ignores this key in a mapping with any keys. */
function forbiddenKeys(node: Node | null | undefined): Found[] {
  const found: Found[] = [];
  if (node)
    visit(node, {
      Pair: (_, { key }) => {
        if (textOf(key as Node) === "__proto__")
          found.push({ offset: startOf(key as Node), message: 'the key "__proto__" is not allowed' });
      },
    });
  return found;
}
