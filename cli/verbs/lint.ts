import path from "node:path";
import { text as readAll } from "node:stream/consumers";
import { Option } from "commander";
import { parse } from "yaml";
import type { Output } from "../../harness/model/outputs.ts";
import {
  formatProblem,
  lintScenarios,
  loadScenarios,
  loadUnsaved,
  type Problem,
} from "../../harness/scenario/index.ts";
import { loadOptions, refuseEmpty } from "../context.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("lint", [
  "lint",
  "lint --scenarios my-scenarios --json",
  "lint --stdin team/orders < scenario.yaml",
])
  .addOption(
    new Option(
      "--stdin [scenario]",
      "check the text of a scenario.yaml on standard input, as <group>/<name>, with the manifests of that folder",
    ),
  )
  .addOption(option.json())
  .addOption(option.scenarios())
  .action(async (options) => finish(lint(options)));

interface LintOptions {
  readonly scenarios: string;
  /** True without a name. */
  readonly stdin?: string | true;
  readonly json?: boolean;
}

interface Linted {
  readonly scenarios: number;
  /** What keeps a scenario from running. */
  readonly errors: readonly Problem[];
  /** What is probably a mistake, and old names. */
  readonly warnings: readonly Problem[];
}

/** @param readInput returns what is on standard input; tests have another one */
export async function lint(
  options: LintOptions,
  readInput: () => Promise<string> = () => readAll(process.stdin),
): Promise<number> {
  const { scenarios, errors, warnings } =
    options.stdin === undefined
      ? await lintFolder(options.scenarios)
      : await lintText(await readInput(), options.stdin, options.scenarios);
  const problems = [...errors, ...warnings];
  if (options.json === true) {
    const asOutput =
      (severity: Output<"lint">["problems"][number]["severity"]) =>
      ({ position, message, hint }: Problem) => ({
        ...position,
        severity,
        message,
        ...(hint !== undefined && { hint }),
      });
    printOutput("lint", {
      scenarios,
      problems: [...errors.map(asOutput("error")), ...warnings.map(asOutput("warning"))],
    });
  } else {
    for (const problem of problems) print(formatProblem(problem));
    const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
    print(`${count(scenarios, "scenario")} can run, ${count(problems.length, "problem")}`);
  }
  return problems.length > 0 ? 2 : 0;
}

async function lintFolder(folder: string): Promise<Linted> {
  const root = path.resolve(folder);
  const load = await loadOptions();
  const { scenarios, problems, warnings } = await loadScenarios(root, load);
  refuseEmpty(root, { scenarios, problems });
  return {
    scenarios: scenarios.length,
    errors: problems,
    warnings: [...warnings, ...(await lintScenarios(scenarios, root, load.base))],
  };
}

async function lintText(text: string, named: string | true, scenarios: string): Promise<Linted> {
  const root = path.resolve(scenarios);
  const load = await loadOptions();
  const [group, name, ...more] = named === true ? ["stdin", nameIn(text)] : named.split("/");
  if (group === undefined || name === undefined || name === "" || more.length > 0)
    throw new MeshproofError("ERR_USAGE", `--stdin names a scenario by <group>/<name>, not "${String(named)}"`, {
      hint: "for example: meshproof lint --stdin team/orders < scenario.yaml",
    });
  const loaded = await loadUnsaved(root, path.join(root, group, name), text, load);
  return {
    scenarios: loaded.scenarios.length,
    errors: loaded.problems,
    warnings: [...loaded.warnings, ...(await lintScenarios(loaded.scenarios, root, load.base, text))],
  };
}

/** The name that the scenario gives itself, which is that of its folder; what is wrong with the text is found when it is loaded. */
function nameIn(text: string): string {
  try {
    const name = (parse(text) as { metadata?: { name?: unknown } } | null)?.metadata?.name;
    return typeof name === "string" && /^[a-z0-9-]+$/.test(name) ? name : "scenario";
  } catch {
    return "scenario";
  }
}
