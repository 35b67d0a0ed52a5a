import { availableParallelism } from "node:os";
import path from "node:path";
import { CommanderError, Option } from "commander";
import { chooseMesh, ensureIstio } from "../../clusters/components/components.ts";
import type { ComponentSource } from "../../clusters/components/ways.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { checkScenario } from "../../harness/check/check.ts";
import { coverageOf, percentOf, type Written } from "../../harness/check/coverage.ts";
import { fieldFinder } from "../../harness/check/lines.ts";
import { neverMatching } from "../../harness/check/never.ts";
import type { FieldPath } from "../../harness/check/rule-parts.ts";
import { inLanes } from "../../harness/lanes.ts";
import { gatewayApiCrds } from "../../harness/mesh/gateway-api.ts";
import type { CheckCounts, CheckReport } from "../../harness/model/check.ts";
import type { Position, Scenario } from "../../harness/model/scenario.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { replaceFile } from "../../harness/replace-file.ts";
import { formatSarif } from "../../reports/sarif.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import packageJson from "../../package.json" with { type: "json" };
import { formatCheck, formatCheckJson } from "../../reports/check.ts";
import { placesOf } from "../cluster.ts";
import { PROJECT, readScenarios } from "../context.ts";
import type { PlaceFlags } from "../image-flags.ts";
import { print, printJsonText } from "../streams.ts";
import { finish, option, verb } from "../options.ts";
import { work, type Work } from "../work.ts";

export const command = verb("check", ["check", "check 'jwt/*'", "check --json"])
  .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
  .addOption(option.tag())
  .addOption(option.scenarios())
  .addOption(option.istio())
  .addOption(option.envoy())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(
    new Option("--fail-under <percent>", "exit with 1 where fewer of the policies' parts are proved").argParser(
      percent,
    ),
  )
  .option("--sarif <file>", "also write what is found as SARIF 2.1.0, for code scanning")
  .option("--allow-undecided", "exit with 0 where checks are undecided and none differs")
  .addOption(option.json())
  .action(async (names: string[], options) => finish(check(names, options)));

interface CheckVerbOptions extends PlaceFlags {
  readonly tag: readonly string[];
  readonly scenarios: string;
  readonly istio?: string;
  readonly envoy?: string;
  readonly components?: ComponentSource;
  readonly failUnder?: number;
  readonly sarif?: string;
  readonly allowUndecided?: boolean;
  readonly json?: boolean;
}

async function writeSarif(file: string, text: string): Promise<void> {
  await replaceFile(file, text).catch((cause: unknown) => {
    throw new MeshproofError("ERR_USAGE", `the file of --sarif cannot be written: ${(cause as Error).message}`, {
      hint: "its folder must be there",
      cause,
    });
  });
}

function percent(text: string): number {
  if (/^\d{1,2}$|^100$/.test(text)) return Number(text);
  throw new CommanderError(2, "meshproof.percent", `error: --fail-under takes a number from 0 to 100, not "${text}"`);
}

/** The exit code where nothing differs and something is undecided. */
const UNDECIDED = 4;

export async function check(names: readonly string[], options: CheckVerbOptions): Promise<number> {
  return work(async (work) => {
    const scenarios = await readScenarios(options.scenarios, names, options.tag);
    const report = await checkAll(scenarios, options, work);
    if (options.sarif !== undefined) await writeSarif(options.sarif, formatSarif(report, packageJson.version));
    work.clear();
    if (options.json === true) printJsonText(formatCheckJson(report));
    else print(formatCheck(report, options.failUnder));
    const { differs, undecided } = report.counts;
    const isShort = report.coverage.percent < (options.failUnder ?? 0);
    if (differs > 0 || isShort) return 1;
    return undecided > 0 && options.allowUndecided !== true ? UNDECIDED : 0;
  });
}

/** Answers the requests of scenarios, one after the other. */
export async function checkAll(
  scenarios: readonly Scenario[],
  options: Pick<CheckVerbOptions, "scenarios" | "istio" | "envoy" | "components"> & PlaceFlags,
  { progress, signal }: Pick<Work, "progress" | "signal">,
): Promise<CheckReport> {
  const { istio: version, envoy } = chooseMesh(options);
  const istio = await ensureIstio(version, {
    ...{ progress, signal, source: options.components, images: placesOf(options) },
  });
  const [tokens, crds] = await Promise.all([
    createTokenFactory({ issuersDirs: issuersDirsOf(options.scenarios) }),
    gatewayApiCrds(),
  ]);
  const folder = makeTempDir();
  const checked = await inLanes(
    scenarios,
    async (scenario) => {
      progress(`checking ${scenario.id}`);
      return await checkScenario(
        {
          ...{ program: path.join(istio.dir, "bin", "pilot-discovery"), istio: istio.version, envoy, crds },
          ...{ scenariosRoot: options.scenarios, tokens, folder, signal },
        },
        scenario,
      );
    },
    availableParallelism(),
  );
  const counts: CheckCounts = { agrees: 0, differs: 0, undecided: 0 };
  const evidence = checked.flatMap((one) => one.evidence);
  const placeOf = fieldFinder([process.cwd(), PROJECT]);
  const find = (written: Written, path: FieldPath): Position => placeOf(written.position, path);
  const { parts, shadowed } = coverageOf(evidence, find);
  for (const { status } of checked.flatMap(({ scenario: { steps } }) => steps.flatMap(({ checks }) => checks)))
    counts[status]++;
  return {
    kind: "meshproof-check",
    version: 1,
    istio: istio.version,
    ...(envoy !== undefined && { envoy }),
    counts,
    coverage: { percent: percentOf(parts), parts },
    shadowed,
    neverMatches: neverMatching(evidence, find),
    scenarios: checked.map(({ scenario }) => scenario),
  };
}
