/** meshproof.config.yaml of the working directory: what flags would say otherwise. Flags win over it. */

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Config } from "../harness/model/config-file.ts";
import { MeshproofError } from "../harness/model/errors.ts";

export const CONFIG = "meshproof.config.yaml";

/** A config, and the folder that its paths begin at. */
export interface Configured {
  readonly config: Config;
  readonly folder: string;
}

/** Verbs that do something with the scenarios of a repository. */
const VERBS = new Set(["run", "check", "up", "list", "lint", "render", "new"]);

/** Keys that say which cluster: they are for the config's kind of cluster alone. */
const OF_CLUSTER = ["istio", "envoy", "kubeconfig", "context", "revision", "lanes"] as const;

const PATHS = ["scenarios", "knownFailures", "results", "kubeconfig"] as const;

/**
 * The config of the working directory; undefined without one. No other folder is searched: a file of another user must not choose what runs.
 * @throws MeshproofError ERR_USAGE with file and line of every mistake
 */
export async function readConfig(): Promise<Configured | undefined> {
  const file = path.resolve(CONFIG);
  if (!existsSync(file)) return undefined;
  const [{ configFile }, { parseSource }, { validate }, { formatProblem }] = await Promise.all([
    import("../harness/model/config-file.ts"),
    import("../harness/scenario/source.ts"),
    import("../harness/scenario/validate.ts"),
    import("../harness/scenario/problem.ts"),
  ]);
  const source = parseSource(readFileSync(file, "utf8"), CONFIG);
  const root = source.documents[0]?.contents;
  const problems =
    root === undefined || source.problems.length > 0
      ? source.problems
      : validate(source, root, configFile, "the config");
  if (problems.length > 0)
    throw new MeshproofError("ERR_USAGE", problems.map(formatProblem).join("\n"), {
      hint: "the schema is meshproof/config-schema; docs/your-own-policies.md explains every key",
    });
  return { config: (root?.toJSON() ?? {}) as Config, folder: path.dirname(file) };
}

/** Gives a command's options the config's values where the command line has none. */
export async function useConfig(command: Command): Promise<void> {
  if (!VERBS.has(command.name())) return;
  const found = await readConfig();
  if (found === undefined) return;
  const { config, folder } = found;
  const isGiven = (key: string): boolean => command.getOptionValueSource(key) === "cli";
  // A cluster that is named is what it is; another kind of cluster has other versions.
  const other =
    isGiven("name") || (isGiven("cluster") && command.getOptionValue("cluster") !== (config.cluster ?? "embedded"));
  for (const [key, value] of Object.entries(config)) {
    const option = command.options.find((one) => one.attributeName() === key);
    if (option === undefined || isGiven(key)) continue;
    if (
      other &&
      (key === "cluster"
        ? isGiven("name") && config.cluster === "existing"
        : (OF_CLUSTER as readonly string[]).includes(key))
    )
      continue;
    if (option.argChoices !== undefined && !option.argChoices.includes(String(value))) continue;
    const isPath = (PATHS as readonly string[]).includes(key);
    command.setOptionValueWithSource(
      key,
      isPath ? path.relative("", path.resolve(folder, String(value))) : value,
      "config",
    );
  }
}
