import { spawn } from "node:child_process";
import { constants } from "node:os";
import { ensureComponents } from "../../clusters/components/components.ts";
import { MeshproofError } from "../../harness/model/errors.ts";
import { makerOf } from "../cluster.ts";
import type { MadeKind } from "../context.ts";
import { createStatusLine } from "../status.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("kubectl", [
  "kubectl get pods -A",
  "kubectl exec -n foo deploy/sleep -c sleep -- curl -s httpbin:8000/headers",
  "kubectl --name other get nodes",
])
  .argument("[arguments...]", "what kubectl takes")
  .addOption(option.made())
  .addOption(option.name())
  .passThroughOptions()
  .allowUnknownOption()
  .action(async (args: string[], options) => finish(kubectl(args, options)));

/** Runs kubectl as a child with this terminal, and passes on signals and the exit code. */
export async function kubectl(
  args: readonly string[],
  options: { readonly cluster: MadeKind; readonly name: string },
): Promise<number> {
  const cluster = await (await makerOf(options.cluster)).attach(options.name);
  if (cluster === undefined)
    throw new MeshproofError("ERR_CLUSTER_UNREACHABLE", `no cluster named "${options.name}" is running`, {
      hint: `start it: meshproof up${options.cluster === "embedded" ? "" : ` --cluster ${options.cluster}`}${options.name === "default" ? "" : ` --name ${options.name}`}`,
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
