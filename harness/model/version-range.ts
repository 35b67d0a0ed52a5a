/** Ranges of versions, as known changes and fixes have them. */

/** From `since` to before `until`. */
export interface VersionRange {
  readonly since: string;
  readonly until?: string | undefined;
}

/** The numbers of `1.36.4`, `v1.31` or `1.36.5-dev`; undefined for any other text. */
export function numbersOf(version: string): readonly [major: number, minor: number, patch: number] | undefined {
  const found = /^v?(\d+)\.(\d+)(?:\.(\d+))?(?:[-+].*)?$/.exec(version);
  return found === null ? undefined : [Number(found[1]), Number(found[2]), Number(found[3] ?? 0)];
}

/** Negative if `a` is the older one. */
export function compareNumbers(a: readonly number[], b: readonly number[]): number {
  return a.map((n, index) => n - (b[index] ?? 0)).find((difference) => difference !== 0) ?? 0;
}

/** Whether a version is in any of the ranges. */
export function isWithin(numbers: readonly number[], ranges: readonly VersionRange[]): boolean {
  return ranges.some(({ since, until }) => {
    const end = until === undefined ? undefined : numbersOf(until);
    return compareNumbers(numbers, numbersOf(since)!) >= 0 && (end === undefined || compareNumbers(numbers, end) < 0);
  });
}
