import { Option } from "commander";
import { cleanUp } from "../../clusters/existing/clean-up.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { work } from "../work.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("cleanup", ["cleanup", "cleanup 20261125-080024-6455", "cleanup --context NAME"])
  .argument("[run]", "the run's id (default: all that have ended)")
  .addOption(option.kubeconfig())
  .addOption(
    new Option(
      "--context <name>",
      "what runs of any machine left on this cluster (default: what runs of this machine left)",
    ),
  )
  .addOption(option.allowExec())
  .addOption(option.json())
  .action(async (run: string | undefined, options) => finish(cleanup(run, options)));

interface CleanupOptions {
  readonly kubeconfig?: string;
  readonly context?: string;
  readonly allowExec: readonly string[];
  readonly json?: boolean;
}

export async function cleanup(run: string | undefined, options: CleanupOptions): Promise<number> {
  const { kubeconfig, context } = options;
  if (kubeconfig !== undefined && context === undefined)
    throw new MeshproofError("ERR_USAGE", "--kubeconfig needs --context", { hint: "name the context: --context NAME" });
  return work(async ({ progress, signal, clear }) => {
    const where = {
      ...(kubeconfig === undefined ? {} : { kubeconfig }),
      ...(context === undefined ? {} : { context }),
    };
    const which = run === undefined ? {} : { run };
    const here = await cleanUp({ ...where, ...which, allowExec: options.allowExec, progress, signal });
    const lines = [...here, ...(run === undefined && context === undefined ? await sweepDocker() : [])];
    clear();
    if (run !== undefined && here.length === 0)
      throw new MeshproofError("ERR_USAGE", `there is no journal of a run ${run}: it has removed everything itself`, {
        ...(context === undefined ? { hint: "of a run on another machine the cluster knows: --context NAME" } : {}),
      });
    if (options.json === true) printOutput("cleanup", { removed: lines });
    else print(lines.length === 0 ? "there is nothing to clean up" : lines.join("\n"));
    return 0;
  });
}

/** Removes the remains of killed kind clusters, if there is Docker. */
async function sweepDocker(): Promise<string[]> {
  const { sweepKind } = await import("../../clusters/kind/kind.ts");
  try {
    return (await sweepKind()).map((what) => `removed ${what}`);
  } catch (error) {
    if (error instanceof MeshproofError && error.code === "ERR_MISSING_PROGRAM") return [];
    throw error;
  }
}
