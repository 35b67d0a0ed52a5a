import path from "node:path";
import { formatProblem, lintScenarios, loadScenarios } from "../../harness/scenario/index.ts";
import { loadOptions, refuseEmpty } from "../context.ts";
import { print } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("lint", ["lint", "lint --scenarios my-scenarios"])
  .addOption(option.scenarios())
  .action(async (options) => finish(lint(options)));

export async function lint(options: { readonly scenarios: string }): Promise<number> {
  const root = path.resolve(options.scenarios);
  const load = await loadOptions();
  const { scenarios, problems: errors, warnings } = await loadScenarios(root, load);
  refuseEmpty(root, { scenarios, problems: errors });
  const problems = [...errors, ...warnings, ...(await lintScenarios(scenarios, root, load.base))];
  for (const problem of problems) print(formatProblem(problem));
  const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
  print(`${count(scenarios.length, "scenario")} can run, ${count(problems.length, "problem")}`);
  return problems.length > 0 ? 2 : 0;
}
