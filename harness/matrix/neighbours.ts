/** Which versions are compared with each other. */

import type { MatrixColumn } from "../model/matrix.ts";

type Versions = Pick<MatrixColumn, "versions" | "cluster">;

/**
 * Pairs of columns, by their numbers: with the next Envoy of the same Istio, and with the next Istio that has the same Envoy. A column
 * that has neither before it is compared with the one beside it.
 */
export function neighboursOf(columns: readonly Versions[]): (readonly [from: number, to: number])[] {
  return columns.flatMap((to, index) => {
    const before = columns.slice(0, index);
    const same = (key: "istio" | "envoy") =>
      before.findLastIndex(
        (from) =>
          from.versions[key] === to.versions[key] && from.cluster === to.cluster && to.versions[key] !== undefined,
      );
    const found = [...new Set([same("istio"), same("envoy")])].filter((from) => from >= 0);
    if (found.length === 0 && index > 0) found.push(index - 1);
    return found.sort((a, b) => a - b).map((from) => [from, index] as const);
  });
}
