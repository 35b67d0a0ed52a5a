/** Combines the results of several matchers: all, any, none. */

import type { Condition, Matcher } from "../model/explanation.ts";
import type { Match } from "./types.ts";

export function allOf(parts: readonly Match[]): Match {
  const against = parts.filter((part) => part.matched === false);
  if (against.length > 0) return { matched: false, conditions: against.flatMap((part) => part.conditions) };
  const open = parts.find((part) => part.matched === "undecided");
  return open ?? { matched: true, conditions: parts.flatMap((part) => part.conditions) };
}

export function anyOf(parts: readonly Match[]): Match {
  const good = parts.find((part) => part.matched === true);
  if (good) return good;
  const open = parts.find((part) => part.matched === "undecided");
  return open ?? { matched: false, conditions: joined(parts.flatMap((part) => part.conditions)) };
}

/**
 * Joins the alternatives of one field into one condition: `"/a" or "/b"`. A value that a rule excludes is not an alternative and
 * stays a separate condition.
 */
function joined(conditions: readonly Condition[]): Condition[] {
  const groups = Map.groupBy(conditions, (condition) =>
    condition.requires.kind === "not" ? condition : JSON.stringify([condition.field, condition.got]),
  );
  return [...groups.values()].map((same) => {
    const [first] = same as [Condition];
    const matchers = alternatives(same.map(({ requires }) => requires));
    return { ...first, requires: matchers.length === 1 ? matchers[0]! : { kind: "one-of", matchers } };
  });
}

/** Removes duplicates. */
export function alternatives(matchers: readonly Matcher[]): Matcher[] {
  const flat = matchers.flatMap((matcher) => (matcher.kind === "one-of" ? matcher.matchers : [matcher]));
  return [...new Map(flat.map((matcher) => [JSON.stringify(matcher), matcher])).values()];
}

export function not(part: Match): Match {
  if (part.matched === "undecided") return part;
  const conditions = part.conditions.map((condition) => ({
    ...condition,
    requires: negated(condition.requires),
    agrees: !condition.agrees,
  }));
  return { matched: !part.matched, conditions };
}

export function negated(matcher: Matcher): Matcher {
  switch (matcher.kind) {
    case "not":
      return matcher.matcher;
    case "any-value":
    case "present":
      return { kind: "absent" };
    case "absent":
      return { kind: "present" };
    default:
      return { kind: "not", matcher };
  }
}
