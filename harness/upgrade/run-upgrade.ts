/** Upgrades a mesh between two runs, while streams of requests run. */

import { toHandle, type Cluster } from "../../clusters/cluster.ts";
import { compareRuns } from "../compare/compare.ts";
import type { KnownChange } from "../model/known.ts";
import { connect } from "../mesh/client.ts";
import { upgradeIstio, type Upgradable, type UpgradeStrategy } from "../mesh/upgrade.ts";
import type { Comparison } from "../model/comparison.ts";
import type { RunResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import type { Progress } from "../progress.ts";
import { createTokenFactory } from "../tokens/factory.ts";
import { STREAM_NAMESPACE } from "./baseline.ts";
import { policesWholeMesh } from "./mesh-wide.ts";
import { RUN_PHASES } from "./upgrade.ts";
import type { Allowance, UpgradeResult } from "../model/upgrade.ts";
import { startWatch } from "./watch.ts";

export interface UpgradeTask {
  readonly id: string;
  /** The command that repeats this. */
  readonly command: string;
  readonly version: string;
  /** The cluster, started with its first mesh. */
  readonly cluster: Cluster & Upgradable;
  readonly scenarios: readonly Scenario[];
  readonly issuersDirs: readonly string[];
  readonly strategy: UpgradeStrategy;
  /** Requests per second of each stream. */
  readonly rate: number;
  readonly maxUnavailable: Allowance;
  readonly knownChanges: readonly KnownChange[];
  /** Runs the scenarios on the cluster in its current state. */
  readonly run: (side: "from" | "to") => Promise<RunResult>;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/** @throws MeshproofError if the streams cannot start, a run breaks, or the mesh cannot be upgraded */
export async function runUpgrade(
  task: UpgradeTask,
): Promise<{ readonly upgrade: UpgradeResult; readonly comparison: Comparison }> {
  const { cluster, progress, signal } = task;
  const startedAt = new Date().toISOString();
  await cluster.ready();
  const kube = connect(cluster.kubeconfig);
  const meshWide = task.scenarios.filter(policesWholeMesh).map(({ id }) => id);
  progress("preparing the streams of requests");
  await using watch = await startWatch({
    kube,
    handle: await toHandle(cluster),
    perSecond: task.rate,
    meshWide,
    signal,
    progress,
    tokens: await createTokenFactory({ issuersDirs: task.issuersDirs }),
  });
  watch.phase(RUN_PHASES.from);
  const before = await task.run("from");
  const old = await cluster.describe();
  await watch.withIngress(() => replaceMesh(task, watch.phase));
  const fresh = await cluster.describe();
  watch.phase(RUN_PHASES.to);
  const after = await task.run("to");
  const streamed = await watch.end();
  const comparison = compareRuns(before, after, task.knownChanges);
  const upgrade: UpgradeResult = {
    schemaVersion: 1,
    id: task.id,
    tool: { name: "meshproof", version: task.version },
    command: task.command,
    strategy: task.strategy,
    startedAt,
    finishedAt: new Date().toISOString(),
    from: old,
    to: fresh,
    ...streamed,
    meshWide,
    maxUnavailable: task.maxUnavailable,
    checks: { from: before.counts, to: after.counts },
    unexpected: comparison.unexpected,
  };
  return { upgrade, comparison };
}

async function replaceMesh(
  { cluster, strategy, progress, signal }: UpgradeTask,
  phase: (name: string) => void,
): Promise<void> {
  const [from, to] = cluster.meshes;
  if (from === undefined || to === undefined) throw new Error("an upgrade is from one mesh to another");
  const revision = strategy === "revision" ? to.versions.istio.replaceAll(".", "-") : undefined;
  // A scenario may have left a mesh setting, which the new manifests would reset during the upgrade.
  await cluster.setMesh({});
  await upgradeIstio({
    kube: connect(cluster.kubeconfig),
    strategy,
    revision: revision ?? "",
    from: await from.manifests(),
    to: await to.manifests(revision),
    versions: to.versions,
    namespaces: [STREAM_NAMESPACE, cluster.namespace, cluster.outsideNamespace],
    phase,
    progress,
    signal,
  });
}
