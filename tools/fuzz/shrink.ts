/** Makes a disagreement smaller: fewer objects, rules, fields and values, then less of the request, as long as it stays one. */

import type fc from "fast-check";
import { policies as anyPolicies, request as anyRequest, type Policies, type Request } from "./arbitraries.ts";
import { compareAll, sendAll, type Compared } from "./cases.ts";
import type { Range, Site } from "./range.ts";

export interface Disagreement {
  readonly site: Site;
  readonly policies: Policies;
  readonly request: Request;
  readonly compared: Compared;
}

/** So many times at most the mesh is given other policies. */
const ROUNDS = 30;
/** So many smaller requests are sent at once. */
const REQUESTS = 20;

/** @returns undefined if it is none when the site has its policies once more */
export async function shrink(range: Range, found: Disagreement): Promise<Disagreement | undefined> {
  // All workloads are alike: each tries other policies. There is one gateway, and one waypoint.
  const sites = range.sites.filter(({ owner }) => owner.kind === found.site.owner.kind);
  const test = async (all: readonly Policies[], requests: readonly Request[]): Promise<Disagreement | undefined> => {
    const tried = all.map((policies, i) => ({ site: sites[i]!, policies }));
    const enforced = await range.enforce(new Map(tried.map(({ site, policies }) => [site, policies])));
    const cases = tried.flatMap(({ site, policies }) =>
      requests.map((request) => ({ site, policies, request, enforced: enforced.get(site)! })),
    );
    const compared = await compareAll(range, await sendAll(range, cases));
    const index = compared.findIndex(({ result }) => result === "disagree");
    const { site, policies, request } = cases[index] ?? {};
    return site && policies && request && { site, policies, request, compared: compared[index]! };
  };
  let best = await test([found.policies], [found.request]);
  for (let round = 0; best !== undefined && round < ROUNDS;) {
    const smaller: Disagreement | undefined = await firstOf(
      smallerThan(anyPolicies, best.policies, ROUNDS * sites.length),
      sites.length,
      async (some) => (++round > ROUNDS ? undefined : await test(some, [best!.request])),
    );
    if (smaller === undefined) break;
    best = smaller;
  }
  for (let round = 0; best !== undefined && round < ROUNDS; round++) {
    const { policies, request }: Disagreement = best;
    const some = smallerThan(anyRequest, request, REQUESTS);
    const smaller = some.length === 0 ? undefined : await test([policies], some);
    if (smaller === undefined) break;
    best = smaller;
  }
  return best;
}

function smallerThan<T>(any: fc.Arbitrary<T>, value: T, most: number): T[] {
  return [...any.shrink(value, undefined).take(most)].map(({ value: smaller }) => smaller);
}

async function firstOf<T, R>(
  all: readonly T[],
  size: number,
  test: (some: readonly T[]) => Promise<R | undefined>,
): Promise<R | undefined> {
  for (let at = 0; at < all.length; at += size) {
    const found = await test(all.slice(at, at + size));
    if (found !== undefined) return found;
  }
  return undefined;
}
