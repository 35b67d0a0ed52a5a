import { readFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import path from "node:path";
import { chooseMesh, ensureIstio } from "../../clusters/components/components.ts";
import { BOOTSTRAP } from "../../clusters/components/bootstrap.ts";
import type { ComponentSource } from "../../clusters/components/ways.ts";
import { makeTempDir } from "../../clusters/temp-dir.ts";
import { checkScenario } from "../../harness/check/check.ts";
import { inLanes } from "../../harness/lanes.ts";
import { gatewayApiCrds } from "../../harness/mesh/gateway-api.ts";
import type { CheckCounts, CheckReport } from "../../harness/model/check.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { formatCheck, formatCheckJson } from "../../reports/check.ts";
import { placesOf } from "../cluster.ts";
import { readScenarios } from "../context.ts";
import type { PlaceFlags } from "../image-flags.ts";
import { print, printJsonText } from "../streams.ts";
import { finish, option, verb } from "../options.ts";
import { work, type Work } from "../work.ts";

export const command = verb("check", ["check", "check 'jwt/*'", "check --json"])
  .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
  .addOption(option.tag())
  .addOption(option.scenarios())
  .addOption(option.istio())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .option("--allow-undecided", "exit with 0 where checks are undecided and none differs")
  .addOption(option.json())
  .action(async (names: string[], options) => finish(check(names, options)));

interface CheckVerbOptions extends PlaceFlags {
  readonly tag: readonly string[];
  readonly scenarios: string;
  readonly istio?: string;
  readonly components?: ComponentSource;
  readonly allowUndecided?: boolean;
  readonly json?: boolean;
}

/** The exit code where nothing differs and something is undecided. */
const UNDECIDED = 4;

export async function check(names: readonly string[], options: CheckVerbOptions): Promise<number> {
  return work(async (work) => {
    const scenarios = await readScenarios(options.scenarios, names, options.tag);
    const report = await checkAll(scenarios, options, work);
    work.clear();
    if (options.json === true) printJsonText(formatCheckJson(report));
    else print(formatCheck(report));
    const { differs, undecided } = report.counts;
    if (differs > 0) return 1;
    return undecided > 0 && options.allowUndecided !== true ? UNDECIDED : 0;
  });
}

/** Answers the requests of scenarios, one after the other. */
export async function checkAll(
  scenarios: readonly Scenario[],
  options: Pick<CheckVerbOptions, "scenarios" | "istio" | "components"> & PlaceFlags,
  { progress, signal }: Pick<Work, "progress" | "signal">,
): Promise<CheckReport> {
  const { istio: version } = chooseMesh(options.istio === undefined ? {} : { istio: options.istio });
  const istio = await ensureIstio(version, {
    ...{ progress, signal, source: options.components, images: placesOf(options) },
  });
  const [tokens, crds, template] = await Promise.all([
    createTokenFactory({ issuersDirs: issuersDirsOf(options.scenarios) }),
    gatewayApiCrds(),
    readFile(path.join(istio.dir, BOOTSTRAP), "utf8"),
  ]);
  const folder = makeTempDir();
  const checked = await inLanes(
    scenarios,
    async (scenario) => {
      progress(`checking ${scenario.id}`);
      return await checkScenario(
        {
          ...{ program: path.join(istio.dir, "bin", "pilot-discovery"), istio: istio.version, crds, tokens, folder },
          ...{ scenariosRoot: options.scenarios, runtime: runtimeFlags(template), signal },
        },
        scenario,
      );
    },
    availableParallelism(),
  );
  const counts: CheckCounts = { agrees: 0, differs: 0, undecided: 0 };
  for (const { status } of checked.flatMap(({ steps }) => steps.flatMap(({ checks }) => checks))) counts[status]++;
  return { kind: "meshproof-check", version: 1, istio: istio.version, counts, scenarios: checked };
}

/** The runtime flags that Istio's template of a proxy's bootstrap always sets. */
function runtimeFlags(template: string): Readonly<Record<string, string>> {
  const flags = template.matchAll(/"(envoy\.[\w.]+)":\s*"?(true|false)"?/g);
  return Object.fromEntries([...flags].map(([, name = "", value = ""]) => [name, value]));
}
