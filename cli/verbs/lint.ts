import path from "node:path";
import { formatProblem, loadScenarios } from "../../harness/scenario/index.ts";

export async function lint(options: { readonly scenarios: string }): Promise<number> {
  const { scenarios, problems } = await loadScenarios(path.resolve(options.scenarios));
  for (const problem of problems) console.log(formatProblem(problem));
  const count = (n: number, word: string): string => `${n} ${word}${n === 1 ? "" : "s"}`;
  console.log(`${count(scenarios.length, "sound scenario")}, ${count(problems.length, "problem")}`);
  return problems.length > 0 ? 2 : 0;
}
