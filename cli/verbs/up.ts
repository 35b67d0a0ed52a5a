import path from "node:path";
import type { WantedMesh } from "../../clusters/components/components.ts";
import { toHandle } from "../../clusters/cluster.ts";
import { issuersDirsOf } from "../../harness/scenario/brought.ts";
import { createTokenFactory } from "../../harness/tokens/factory.ts";
import { makerOf, openCluster } from "../cluster.ts";
import type { ImageFlags } from "../image-flags.ts";
import { DEFAULT_NAME, readScenarios, type MadeKind } from "../context.ts";
import { prepareHost } from "../host.ts";
import { work } from "../work.ts";
import { newRunId } from "../run-id.ts";
import { print, printOutput } from "../streams.ts";
import { finish, option, verb } from "../options.ts";

export const command = verb("up", ["up", "up --name other --istio 1.30"])
  .addOption(option.made())
  .addOption(option.name())
  .addOption(option.istio())
  .addOption(option.envoy())
  .addOption(option.images())
  .addOption(option.components())
  .addOption(option.imageMirror())
  .addOption(option.imageDigest())
  .addOption(option.kubernetes())
  .addOption(option.install())
  .addOption(option.scenarios())
  .addOption(option.json())
  .action(async (options) => finish(up(options)));

interface UpOptions extends ImageFlags, WantedMesh {
  readonly cluster: MadeKind;
  readonly name: string;
  readonly install?: boolean;
  readonly json?: boolean;
  readonly scenarios: string;
}

export async function up(options: UpOptions): Promise<number> {
  return work(async (work) => {
    const scenarios = await readScenarios(options.scenarios, [], []);
    if (options.install === true) await prepareHost(work);
    const [opened, { deployWorkloads }, { workloadsOf }, { choose }, { ISTIO }, { connect }] = await Promise.all([
      openCluster({ ...options, keep: true }, { id: newRunId(), verb: "up" }, work),
      import("../../harness/run/workloads.ts"),
      import("../../harness/scenario/workloads.ts"),
      import("../../harness/run/eligible.ts"),
      import("../../harness/run/profile.ts"),
      import("../../harness/mesh/client.ts"),
    ]);
    await using cluster = opened.cluster;
    const handle = await toHandle(cluster);
    const scenariosRoot = path.resolve(options.scenarios);
    try {
      // Of others a workload may need what this mesh does not have, such as waypoints.
      const { versions, gatewayApi, waypoints } = handle.info;
      const mesh = { istio: versions.istio, gatewayApi, waypoints };
      const { chosen } = await choose(scenarios, scenariosRoot, ISTIO, cluster.limits, mesh);
      const deployed = deployWorkloads({
        kube: connect(cluster.kubeconfig),
        handle,
        tokens: await createTokenFactory({ issuersDirs: issuersDirsOf(scenariosRoot) }),
        scenariosRoot,
        apps: workloadsOf(chosen),
        progress: work.progress,
        signal: opened.signal,
      });
      await Promise.all([cluster.ready(), deployed]);
    } catch (error) {
      // If something failed, remove the cluster again.
      if (opened.started) await (await makerOf(options.cluster)).stop(options.name);
      throw error;
    }
    work.clear();
    if (options.json === true) {
      printOutput("up", { cluster: handle.info, kubeconfig: cluster.kubeconfig });
      return 0;
    }
    const { kubernetes, istio, envoy } = handle.info.versions;
    const kind = options.cluster === "embedded" ? "" : ` --cluster ${options.cluster}`;
    const name = `${kind}${options.name === DEFAULT_NAME ? "" : ` --name ${options.name}`}`;
    print(`cluster "${options.name}" is up: Kubernetes ${kubernetes}, Istio ${istio}, Envoy ${envoy}

  meshproof run${name}                    run the scenarios on it
  meshproof kubectl${name} get pods -A    look around
  export KUBECONFIG=${cluster.kubeconfig}
  meshproof down${name}                   stop it`);
    return 0;
  });
}
