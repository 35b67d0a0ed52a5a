/** Finds the part of a ticket's YAML that the answer needs. It only chooses what to drop; the mesh decides whether the answer stays. */

import { isDeepStrictEqual } from "node:util";
import type { TicketObject } from "./ticket.ts";
import type { ReproAnswer } from "../model/ticket.ts";

/** The result of a reduced ticket: the same answer, another one, or rejected YAML. */
export type Outcome = "same" | "other" | "refused";

export interface Minimized {
  readonly objects: readonly TicketObject[];
  /** The dropped parts: `AuthorizationPolicy shop/a rules[1]`. */
  readonly dropped: readonly string[];
  readonly tries: number;
  /** How many attempts had YAML that the API server (or meshproof) rejected. */
  readonly refused: number;
  /** False if the limit of attempts was reached: the rest may contain more that is not needed. */
  readonly complete: boolean;
}

/** The path of a part in the ticket: the object's index, then keys and indexes. */
type Path = readonly (string | number)[];

const POLICIES = ["RequestAuthentication", "AuthorizationPolicy", "PeerAuthentication"];

/** Lists in `spec` that contain rules. */
const RULES = ["jwtRules", "rules", "http", "servers"];

/** Without one of these fields the rule around it is invalid, or (keys) its translation does not change. */
const ESSENTIAL = ["issuer", "jwks", "jwksUri", "jwks_uri", "source", "operation", "key", "route"];

/** Depths of a policy's rule: `to`, `[0]`, `operation`, `paths`, `[1]`. Routes are not reduced below their matches. */
const DEPTHS = { policy: 5, route: 2 };

/**
 * Drops whole objects, then rules, then fields and entries of rules, while the outcome stays the same: first halves, then smaller
 * and smaller parts, until no single part can be dropped (ddmin; A. Zeller, R. Hildebrandt, "Simplifying and Isolating
 * Failure-Inducing Input", 2002). One object always stays: a ticket needs at least one.
 * @param outcomeOf asks the mesh; called at most `most` times
 */
export async function minimize(
  objects: readonly TicketObject[],
  outcomeOf: (objects: readonly TicketObject[]) => Promise<Outcome>,
  most: number,
): Promise<Minimized> {
  const gone: Path[] = [];
  const told = new Map<string, Outcome>();
  let tries = 0;
  let refused = 0;
  let complete = true;
  /** Undefined if no attempt is left. */
  const canGo = async (parts: readonly Path[]): Promise<boolean | undefined> => {
    const left = without(objects, [...gone, ...parts]);
    if (left.length === 0) return false;
    const key = JSON.stringify(left);
    let outcome = told.get(key);
    if (outcome === undefined) {
      if (tries >= most) {
        complete = false;
        return undefined;
      }
      tries++;
      outcome = await outcomeOf(left);
      told.set(key, outcome);
      if (outcome === "refused") refused++;
    }
    return outcome === "same";
  };
  for (let level = 0; complete && level <= 1 + DEPTHS.policy; level++) {
    let size = Math.ceil(partsAt(objects, gone, level).length / 2);
    while (complete && size >= 1) {
      let went = false;
      for (let at = 0; ;) {
        const chunk = partsAt(objects, gone, level).slice(at, at + size);
        if (chunk.length === 0) break;
        const can = await canGo(chunk);
        if (can === undefined) break;
        if (can) {
          gone.push(...chunk);
          went = true;
        } else at += chunk.length;
      }
      // A part may have become unnecessary because another one is gone.
      if (size > 1 || !went) size = size === 1 ? 0 : Math.ceil(size / 2);
    }
  }
  return {
    objects: without(objects, gone),
    dropped: gone.map((path) => nameOf(objects, path)),
    tries,
    refused,
    complete,
  };
}

/** The parts that can be dropped at a level: objects (0), rules (1), and then parts at this depth below a rule. */
function partsAt(objects: readonly TicketObject[], gone: readonly Path[], level: number): Path[] {
  const dropped = new Set(gone.map((path) => JSON.stringify(path)));
  const there = (path: Path): boolean => !dropped.has(JSON.stringify(path));
  const below = (value: unknown, path: Path, depth: number): Path[] => {
    const children = childrenOf(value, path).filter(there);
    if (depth > 1) return children.flatMap((child) => below(at(objects, child), child, depth - 1));
    // The only entry of a list is dropped with the list.
    if (Array.isArray(value)) return children.length > 1 ? children : [];
    return children.filter((child) => !ESSENTIAL.includes(String(child.at(-1))));
  };
  return objects.flatMap((object, index) => {
    if (!there([index])) return [];
    if (level === 0) return [[index]];
    return RULES.flatMap((list) => {
      const path = [index, "spec", list];
      const rules = childrenOf(at(objects, path), path).filter(there);
      if (level === 1) return rules;
      const deepest = POLICIES.includes(object.kind) ? DEPTHS.policy : DEPTHS.route;
      return level - 1 > deepest ? [] : rules.flatMap((rule) => below(at(objects, rule), rule, level - 1));
    });
  });
}

function childrenOf(value: unknown, path: Path): Path[] {
  if (Array.isArray(value)) return value.map((_, index) => [...path, index]);
  return typeof value === "object" && value !== null ? Object.keys(value).map((key) => [...path, key]) : [];
}

function at(objects: readonly TicketObject[], path: Path): unknown {
  return path.reduce<unknown>((value, key) => (value as Record<string | number, unknown> | undefined)?.[key], objects);
}

/** The objects without these parts. A list without entries is dropped too. */
function without(objects: readonly TicketObject[], paths: readonly Path[]): TicketObject[] {
  const gone = new Set(paths.map((path) => JSON.stringify(path)));
  const rebuild = (value: unknown, path: Path): unknown => {
    if (gone.has(JSON.stringify(path))) return undefined;
    if (Array.isArray(value)) {
      const left = value.map((item, index) => rebuild(item, [...path, index])).filter((item) => item !== undefined);
      return left.length === 0 && value.length > 0 ? undefined : left;
    }
    if (typeof value !== "object" || value === null) return value;
    const entries = Object.entries(value).map(([key, item]) => [key, rebuild(item, [...path, key])] as const);
    return Object.fromEntries(entries.filter(([, item]) => item !== undefined));
  };
  return (rebuild(objects, []) ?? []) as TicketObject[];
}

function nameOf(objects: readonly TicketObject[], [index, , ...rest]: Path): string {
  const { kind, metadata } = objects[Number(index)]!;
  const name = metadata.namespace === undefined ? metadata.name : `${metadata.namespace}/${metadata.name}`;
  const where = rest.map((key) => (typeof key === "number" ? `[${key}]` : `.${key}`)).join("");
  const value = at(objects, [index!, "spec", ...rest]);
  const text = typeof value === "string" ? ` (${JSON.stringify(value)})` : "";
  return `${kind} ${name}${where === "" ? "" : ` ${where.slice(1)}${text}`}`;
}

/**
 * Whether two answers to a ticket are the same: status, who answered, and the exact cause without the indexes of rules, which
 * change if an earlier rule is dropped. So the policy, field or list that the cause names is never dropped.
 */
export function sameAnswer(
  one: Pick<ReproAnswer, "cause" | "verdict" | "reproduced">,
  other: Pick<ReproAnswer, "cause" | "verdict" | "reproduced">,
): boolean {
  return (
    one.reproduced === other.reproduced &&
    one.verdict.status === other.verdict.status &&
    one.verdict.by === other.verdict.by &&
    isDeepStrictEqual(withoutPlaces(one.cause), withoutPlaces(other.cause))
  );
}

/** Removes the indexes of rules, which change if an earlier rule is dropped; Envoy's names and details contain them. */
function withoutPlaces(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutPlaces);
  if (typeof value !== "object" || value === null) return value;
  const { index, details: _details, ...rest } = value as Readonly<Record<string, unknown>>;
  const { name, ...unnamed } = rest;
  const isRule = "policy" in rest && ("conditions" in rest || index !== undefined);
  const kept = isRule ? unnamed : { ...unnamed, ...(name !== undefined && { name }) };
  return Object.fromEntries(Object.entries(kept).map(([key, inner]) => [key, withoutPlaces(inner)]));
}
