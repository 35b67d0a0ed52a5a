import { spawn } from "node:child_process";
import { constants } from "node:os";
import { ensureComponents } from "../../clusters/embedded/components/index.ts";
import { attachEmbedded } from "../../clusters/embedded/index.ts";
import { MeshproofError } from "../../harness/errors.ts";
import { createStatusLine } from "../status.ts";

/** Becomes kubectl as far as a child can: its terminal, its signals, its exit code. */
export async function kubectl(args: readonly string[], options: { readonly name: string }): Promise<number> {
  const cluster = await attachEmbedded(options.name);
  if (cluster === undefined)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `no cluster named "${options.name}" is running`, {
      hint: `start it: meshproof up${options.name === "default" ? "" : ` --name ${options.name}`}`,
    });
  const status = createStatusLine();
  const installed = await ensureComponents({ progress: status.progress });
  status.clear();
  const child = spawn(installed.bin("kubectl"), args, {
    stdio: "inherit",
    env: { ...process.env, KUBECONFIG: cluster.kubeconfig },
  });
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => child.kill(signal));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
  });
}
