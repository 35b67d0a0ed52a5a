import { countItems } from "../../harness/model/items.ts";
import { isVerified, type Scenario } from "../../harness/model/scenario.ts";
import { plural } from "../../reports/text.ts";
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
    verified: isVerified({ level }),
    file: position.file,
  }));
  if (options.json === true) printOutput("list", rows);
  else {
    print(
      table([
        ["SCENARIO", "CHECKS", "TITLE"],
        ...rows.map(({ id, checks, title, verified }) => [
          id,
          String(checks),
          verified ? title : `(not verified) ${title}`,
        ]),
      ]),
    );
    print(`\n${describeCounts(scenarios)}`);
  }
  return 0;
}

function describeCounts(scenarios: readonly Scenario[]): string {
  const count = (those: readonly Scenario[]): string =>
    `${plural(those.length, "scenario")} with ${plural(countItems(those.flatMap(({ steps }) => steps)), "check")}`;
  const { verified = [], provisional = [] } = Object.groupBy(scenarios, (one) =>
    isVerified(one) ? "verified" : "provisional",
  );
  return provisional.length === 0
    ? count(verified)
    : `${count(verified)}; and ${count(provisional)} that are not verified (level: provisional)`;
}
