import { MeshproofError } from "../../harness/model/errors.ts";
import { makerOf, takeClusterLease } from "../cluster.ts";
import type { MadeKind } from "../context.ts";
import { work } from "../work.ts";
import { newRunId } from "../run-id.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("down", ["down", "down --name other"])
  .addOption(option.made())
  .addOption(option.name())
  .option("--force", "stop it although a run is at work on it, or although its API server does not answer")
  .addOption(option.json())
  .action(async (options) => finish(down(options)));

interface DownOptions {
  readonly cluster: MadeKind;
  readonly name: string;
  readonly force?: boolean;
  readonly json?: boolean;
}

/** @throws ERR_CLUSTER_BUSY if another meshproof uses it */
export async function down({ cluster: kind, name, force = false, json }: DownOptions): Promise<number> {
  return work(async (work) => {
    const maker = await makerOf(kind);
    const running = force ? undefined : await maker.attach(name);
    if (running !== undefined) {
      const otherwise = `stop the cluster under it: meshproof down${kind === "embedded" ? "" : ` --cluster ${kind}`} --name ${name} --force`;
      // The Lease is removed with the cluster.
      const lease = await takeClusterLease(running, { id: newRunId(), verb: "down", otherwise }, work).catch(
        (error: unknown) => {
          if (!(error instanceof MeshproofError) || error.code !== "ERR_CLUSTER_UNREACHABLE") throw error;
          throw new MeshproofError(error.code, `it is not known whether a run uses it: ${error.message}`, {
            hint: otherwise,
            cause: error,
          });
        },
      );
      lease.stop();
    }
    const stopped = await maker.stop(name);
    work.clear();
    if (json === true) printOutput("down", { cluster: kind, name, stopped });
    else print(stopped ? `cluster "${name}" is stopped` : `no cluster named "${name}" is running`);
    return 0;
  });
}
