import { fileURLToPath } from "node:url";
import { Option } from "commander";
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
import { finish, option, verb } from "../options.ts";

export const command = verb("diff", [
  "diff results/20261124-010000-aaaa results/latest",
  "diff before/results.json after/results.json --out changes",
])
  .argument("<before>", "a run's folder, or its results.json")
  .argument("<after>", "the same, of the later run")
  .addOption(option.json())
  .addOption(new Option("--markdown", "print Markdown").conflicts("json"))
  .option("--out <folder>", "write diff.html, diff.md and diff.json there")
  .option("--known-changes <file>", "more changes to expect, besides meshproof's own list")
  .action(async (before: string, after: string, options) => finish(diff(before, after, options)));

interface DiffOptions {
  readonly json?: boolean;
  readonly markdown?: boolean;
  readonly out?: string;
  readonly knownChanges?: string;
}

/** Meshproof's own list of known changes. */
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
