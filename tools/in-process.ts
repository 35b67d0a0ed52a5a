/** Runs steps in this process on a running embedded cluster, for tests and tools that break something between two calls. */

import { randomBytes } from "node:crypto";
import path from "node:path";
import { toHandle, type Cluster } from "../clusters/cluster.ts";
import { attachEmbedded } from "../clusters/embedded/embedded.ts";
import type { SessionPlan } from "../harness/run/plan.ts";
import { openSession, type Session } from "../harness/run/session.ts";
import { SCENARIOS } from "../cli/context.ts";

export interface InProcess {
  readonly cluster: Cluster;
  readonly session: Session;
}

/**
 * Attaches to a cluster that `meshproof up` or `run --keep` left.
 * @param folder a temporary one, for what a run writes
 * @param inForceLimitMs how long a change may take to be in force
 */
export async function attachInProcess(name: string, folder: string, inForceLimitMs = 10_000): Promise<InProcess> {
  const cluster = await attachEmbedded(name);
  if (!cluster) throw new Error(`no cluster named ${name} runs`);
  const plan: SessionPlan = {
    runId: randomBytes(4).toString("hex"),
    scenariosRoot: SCENARIOS,
    startedAt: Date.now(),
    limitMs: 8_000,
    inForceLimitMs,
    podsDir: path.join(folder, "pods"),
    diagnosticsDir: path.join(folder, "diagnostics"),
  };
  return { cluster, session: await openSession(plan, await toHandle(cluster)) };
}
