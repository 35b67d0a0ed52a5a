import { writeFile } from "node:fs/promises";
import path from "node:path";
import { Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import { readKnownChanges } from "../../harness/compare/known.ts";
import { findMatrix, type Missing } from "../../harness/matrix/matrix.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { matrixExitCode } from "../../harness/model/matrix.ts";
import type { PlacedRun } from "../../harness/trend/trend.ts";
import { formatMatrix, formatMatrixComment, formatMatrixJson, writeMatrix } from "../../reports/matrix/index.ts";
import { runInChild } from "../child-run.ts";
import { argsOf } from "../command-line.ts";
import { MADE_KINDS, readScenarios, SCENARIOS, type MadeKind } from "../context.ts";
import { flagsOf, type ImageFlags } from "../image-flags.ts";
import { collect, finish, option, verb } from "../options.ts";
import { readPlaces } from "../placed-runs.ts";
import { newRunId } from "../run-id.ts";
import { print, printJsonText } from "../streams.ts";
import { work, type Work } from "../work.ts";
import { KNOWN_CHANGES } from "./diff.ts";
import { parsePair } from "./upgrade.ts";

export const command = verb("matrix", [
  "matrix results --out matrix",
  "matrix nightly/*/results.json --github-comment comment.md",
  "matrix --with 1.30@1.36 --with 1.31@1.40 --out matrix",
  "matrix results --with 1.29.2 --only 'jwt/*' --json",
])
  .argument("[results...]", "runs that exist: a results.json, a run's folder, or a folder of runs")
  .addOption(
    new Option("--with <istio>", "run the scenarios with this version, ISTIO or ISTIO@ENVOY; repeat it for more")
      .default([], "none")
      .argParser(collect),
  )
  .addOption(
    new Option("--only <name>", "with --with: only this scenario, group or glob; repeat it for more")
      .default([], "all")
      .argParser(collect),
  )
  .addOption(option.tag())
  .addOption(new Option("--cluster <kind>", "with --with: where to run").choices(MADE_KINDS).default("embedded"))
  .addOption(option.lanes())
  .addOption(option.images())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.kubernetes())
  .option("--known-failures <file>", "with --with: YAML with known failures, as for meshproof run")
  .option("--known-changes <file>", "more changes to expect, besides meshproof's own list")
  .option("--results <folder>", "with --with: where the runs' reports are written, a folder per run", "results")
  .addOption(option.json())
  .option("--out <folder>", "write matrix.html, matrix.md, matrix.json and badge.svg there")
  .option("--github-comment <file>", "write the text for a comment of a pull request there")
  .addOption(option.scenarios())
  .action(async (results: string[], options) => finish(matrix(results, options)));

interface MatrixOptions extends ImageFlags {
  readonly with: readonly string[];
  readonly only: readonly string[];
  readonly tag: readonly string[];
  readonly cluster: MadeKind;
  readonly lanes?: number;
  readonly knownFailures?: string;
  readonly knownChanges?: string;
  readonly results: string;
  readonly json?: boolean;
  readonly out?: string;
  readonly githubComment?: string;
  readonly scenarios: string;
}

export async function matrix(places: readonly string[], options: MatrixOptions): Promise<number> {
  return await work(async (work) => {
    const pairs = [...new Set(options.with)];
    if (places.length === 0 && pairs.length === 0)
      throw new MeshproofError("ERR_USAGE", "there is nothing to show: neither results nor --with are given", {
        hint: "name a folder of runs, such as results, or versions to run: --with 1.30 --with 1.31",
      });
    // Whatever can be refused is refused before the first cluster starts.
    for (const pair of pairs) parsePair(pair);
    if (pairs.length > 0) await readScenarios(options.scenarios, options.only, options.tag);
    const [known, more, { runs, leftOut }] = await Promise.all([
      readKnownChanges(KNOWN_CHANGES),
      options.knownChanges === undefined ? [] : readKnownChanges(options.knownChanges),
      readPlaces(places),
    ]);
    if (pairs.length === 0 && runs.length === 0)
      throw new MeshproofError(
        "ERR_USAGE",
        [`${places.join(", ")}: no run that judged anything`, ...leftOut].join("\n"),
        {
          hint: "name a folder of runs, such as results",
        },
      );
    const missing: Missing[] = [];
    for (const [index, pair] of pairs.entries()) {
      const named = {
        ...work,
        progress: (line: string) => work.progress(`${pair} (${index + 1} of ${pairs.length}): ${line}`),
      };
      const ran = await runWith(pair, options, named);
      if ("result" in ran) runs.push(ran);
      else missing.push(ran);
    }
    const found = findMatrix({ runs, missing, known: [...more, ...known], leftOut, version: packageJson.version });
    const out = options.out ?? (pairs.length > 0 ? path.join(options.results, "matrix") : undefined);
    const written = out === undefined ? undefined : await writeMatrix(found, out);
    if (options.githubComment !== undefined) await writeComment(options.githubComment, formatMatrixComment(found));
    work.clear();
    if (options.json === true) printJsonText(formatMatrixJson(found));
    else {
      print(formatMatrix(found));
      if (written !== undefined) print(`page: ${path.relative("", written.html)}`);
    }
    return matrixExitCode(found);
  });
}

/** Runs the scenarios on a cluster of their own. @throws what is not a problem of one version: an interruption, a fault of meshproof */
async function runWith(
  asked: string,
  options: MatrixOptions,
  { signal, progress }: Work,
): Promise<PlacedRun | Missing> {
  const { istio = "", envoy } = parsePair(asked);
  const place = ({ id }: { readonly id: string }): string => path.join(options.results, id);
  const flags = {
    ...{ "--istio": istio, "--envoy": envoy, "--cluster": options.cluster, "--tag": options.tag },
    ...{ "--lanes": options.lanes?.toString(), "--known-failures": options.knownFailures, ...flagsOf(options) },
    "--scenarios": options.scenarios === SCENARIOS ? undefined : options.scenarios,
  };
  try {
    const result = await runInChild({
      args: [...options.only, ...argsOf(flags)],
      scratch: path.join(options.results, `.${newRunId()}`),
      // What one version refuses or breaks is what the matrix is for.
      ...{ place, signal, progress, name: `the run with ${asked}`, accept: [0, 1, 2, 3] },
    });
    return { folder: place(result), result };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof MeshproofError)) throw error;
    const { code, message } = error;
    return { asked, istio, ...(envoy !== undefined && { envoy }), problem: { code, message } };
  }
}

async function writeComment(file: string, text: string): Promise<void> {
  await writeFile(file, text).catch((cause: unknown) => {
    throw new MeshproofError("ERR_RESULTS", `${file} cannot be written: ${(cause as Error).message}`, { cause });
  });
}
