import { countItems } from "../../harness/model/items.ts";
import { readScenarios } from "../context.ts";
import { table } from "../table.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("list", ["list", "list 'jwt/*'", "list --tag documented --json"])
  .argument("[names...]", "scenarios: ids, groups, names or globs (default: all)")
  .addOption(option.tag())
  .addOption(option.json())
  .addOption(option.scenarios())
  .action(async (names: string[], options) => finish(list(names, options)));

interface ListOptions {
  readonly tag: readonly string[];
  readonly json?: boolean;
  readonly scenarios: string;
}

export async function list(names: readonly string[], options: ListOptions): Promise<number> {
  const scenarios = await readScenarios(options.scenarios, names, options.tag);
  const rows = scenarios.map(({ id, title, source, level, features, tags, mesh, steps, position }) => ({
    id,
    title,
    source,
    level,
    features,
    tags,
    mesh,
    checks: countItems(steps),
    file: position.file,
  }));
  if (options.json === true) printOutput("list", rows);
  else
    print(
      table([["SCENARIO", "CHECKS", "TITLE"], ...rows.map(({ id, checks, title }) => [id, String(checks), title])]),
    );
  return 0;
}
