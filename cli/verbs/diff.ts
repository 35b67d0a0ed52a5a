import { fileURLToPath } from "node:url";
import { compareRuns } from "../../harness/compare/compare.ts";
import { readKnownChanges } from "../../harness/compare/known.ts";
import {
  diffExitCode,
  formatDiff,
  formatDiffJson,
  formatDiffMarkdown,
  readResults,
  writeDiff,
} from "../../reports/index.ts";

interface DiffOptions {
  readonly json?: boolean;
  readonly markdown?: boolean;
  readonly out?: string;
  readonly knownChanges?: string;
}

/** The list of known changes that meshproof brings. */
export const KNOWN_CHANGES = fileURLToPath(new URL("../../harness/compare/known-changes.yaml", import.meta.url));

export async function diff(before: string, after: string, options: DiffOptions): Promise<number> {
  const [old, fresh, known, more] = await Promise.all([
    readResults(before),
    readResults(after),
    readKnownChanges(KNOWN_CHANGES),
    options.knownChanges === undefined ? [] : readKnownChanges(options.knownChanges),
  ]);
  const comparison = compareRuns(old, fresh, [...more, ...known]);
  const paths = options.out === undefined ? undefined : await writeDiff(comparison, options.out);
  if (options.json === true) process.stdout.write(formatDiffJson(comparison));
  else if (options.markdown === true) process.stdout.write(formatDiffMarkdown(comparison));
  else {
    console.log(formatDiff(comparison));
    if (paths !== undefined) console.log(`page: ${paths.html}`);
  }
  return diffExitCode(comparison);
}
