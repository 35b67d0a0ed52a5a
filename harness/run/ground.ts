import { collectSetUp } from "../diagnostics/collect.ts";
import { setMesh } from "../mesh/mesh-setting.ts";
import type { Refusal, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import type { Progress } from "../progress.ts";
import { removeLeft } from "./changes.ts";
import { needsNewIstiod } from "./fresh-keys.ts";
import { removeKeptTicket } from "./kept-ticket.ts";
import { preflight } from "./preflight.ts";
import { errorOf, runScenario, thrown, unrun, type InStep } from "./scenario.ts";
import type { Session } from "./session.ts";
import { setUpWorkloads } from "./workloads.ts";

export interface PrepareOptions {
  readonly session: Session;
  readonly scenarios: readonly Scenario[];
  readonly startedAt: number;
  readonly progress: Progress;
  readonly signal: AbortSignal;
}

/**
 * Removes what a ticket has left, gives the cluster what scenarios need, and asks the API server about their manifests.
 * @returns what it refuses, by scenario
 * @throws ERR_WORKLOAD_NOT_READY; what explains it is kept
 */
export async function prepareGround(options: PrepareOptions): Promise<Record<string, readonly Refusal[]>> {
  const { session, scenarios, startedAt, signal } = options;
  if (session.handle.ours) await removeKeptTicket(session.kube);
  await setUpWorkloads(session, scenarios, options).catch(async (error: unknown) => {
    if (!signal.aborted) await collectSetUp(session, new Date(startedAt), error);
    throw error;
  });
  signal.throwIfAborted();
  const refused = await preflight(session, scenarios);
  signal.throwIfAborted();
  // Scenarios that run side by side find it as they need it.
  if (session.handle.ours && (session.plan.lanes ?? 1) > 1) await setMesh(session.kube, {}, { signal });
  return Object.fromEntries([...refused].map(([{ id }, refusals]) => [id, refusals]));
}

/**
 * Brings the mesh to the setting that a scenario needs and runs it. What a mesh of others cannot be brought to has been
 * skipped before.
 * @param options.alone whether no other scenario runs beside it, so that the mesh may be changed
 */
export async function runOnGround(
  session: Session,
  scenario: Scenario,
  signal?: AbortSignal,
  inStep?: InStep,
  { alone = true }: { readonly alone?: boolean } = {},
): Promise<ScenarioResult> {
  let reloaded = false;
  try {
    // An istiod that starts would fetch the keys of what the scenario before has left, and fetch them again and again.
    if (alone) await removeLeft(session);
  } catch (error) {
    return unrun(scenario, "error", [thrown(error)]);
  }
  try {
    if (session.handle.ours)
      reloaded = await setMesh(session.kube, scenario.mesh, {
        ...{ restart: await needsNewIstiod(session, scenario), fixed: !alone },
        // A kubelet of Kubernetes' own may take a minute to hand a ConfigMap to its pods.
        reload: session.handle.kind === "embedded",
      });
  } catch (error) {
    return unrun(scenario, "error", [{ kind: "mesh-setting-refused", error: errorOf(error) }]);
  }
  return await runScenario(session, scenario, signal, inStep, { meshReloaded: reloaded });
}
