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
import { print, printJsonText } from "../streams.ts";

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
  if (options.json === true) printJsonText(formatDiffJson(comparison));
  else if (options.markdown === true) print(formatDiffMarkdown(comparison).trimEnd());
  else {
    print(formatDiff(comparison));
    if (paths !== undefined) print(`page: ${paths.html}`);
  }
  return diffExitCode(comparison);
}
