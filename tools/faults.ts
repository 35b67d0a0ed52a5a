/** Makes faults in a mesh on purpose, for `npm run mutate`, which also breaks policies. */

import { cp, mkdir, readdir, readFile } from "node:fs/promises";
import path from "node:path";
import { PatchStrategy, type V1Deployment } from "@kubernetes/client-node";
import { $ } from "zx";
import { untilMeshSynced } from "../harness/mesh/mesh-setting.ts";
import type { Kube } from "../harness/mesh/client.ts";
import { readyPods, waitForDeployment } from "../harness/mesh/wait.ts";
import type { RunResult, Status, StepResult } from "../harness/model/result.ts";
import { readKeySets } from "../harness/run/substitution.ts";
import { inRunOrder } from "../harness/run/plan.ts";
import { KEEP_WORKER_VARIABLE } from "../harness/run/settings.ts";
import { describe } from "../harness/run/scenario.ts";
import { removeApplied, type Applied } from "../harness/run/changes.ts";
import type { Session } from "../harness/run/session.ts";
import { runStep } from "../harness/run/step.ts";
import { publishKeys } from "../harness/run/workloads.ts";
import type { Scenario, StepSpec } from "../harness/model/scenario.ts";
import { needsAccessLog } from "../harness/verdict/index.ts";
import { PROJECT, SCENARIOS } from "../cli/context.ts";
import { attachInProcess } from "./in-process.ts";
import { cutOff, nodeOf, type Route } from "./processes.ts";
import { hasProxyContainer } from "../harness/mesh/proxy-container.ts";
import { ISTIOD, ROOT_NAMESPACE } from "../harness/model/cluster.ts";

/** How long a change may take to be in force where it cannot be, in milliseconds. */
const CUT_OFF_LIMIT_MS = 2_000;

/** What a fault did to the steps or scenarios that it must not let pass. */
export interface FaultOutcome {
  /** What was counted: `changing steps with istiod cut off`. */
  readonly words: string;
  readonly statuses: ReadonlyMap<string, Status>;
  /** Those that the fault should have turned red, or that it turned red and should not. */
  readonly wrong: readonly string[];
}

/** One line with counts, and one for each that is wrong. */
export function tellFault({ words, statuses, wrong }: FaultOutcome): string {
  const counts = [...Map.groupBy(statuses.values(), (status) => status)].map(
    ([status, all]) => `${all.length} ${status}`,
  );
  return [
    `${statuses.size} ${words}: ${counts.join(", ") || "none"}, ${wrong.length} wrong`,
    ...wrong.map((one) => `  ${one}`),
  ].join("\n");
}

/**
 * istiod is cut off from every proxy right before a step that changes something: once for each such step, after the steps
 * before it. None of them may pass.
 */
export async function cutOffEachStep(
  name: string,
  scenarios: readonly Scenario[],
  folder: string,
): Promise<FaultOutcome> {
  const { cluster, session } = await attachInProcess(name, folder);
  const files = scenarios.flatMap((s) => s.steps.flatMap((step) => step.apply));
  await publishKeys(session.kube, session.handle, await readKeySets(session.tokens, files));
  const statuses = new Map<string, Status>();
  const wrong: string[] = [];
  for (const scenario of inRunOrder(scenarios)) {
    await cluster.setMesh(scenario.mesh);
    for (const [index, step] of scenario.steps.entries()) {
      if (step.apply.length + step.delete.length === 0) continue;
      const key = `${scenario.id}, ${step.name}`;
      const found = await runCutOff(session, scenario, index);
      statuses.set(key, found.status);
      if (found.status === "passed" || found.before !== undefined) wrong.push(`${key}: ${found.before ?? "passed"}`);
      console.log(`${found.status} ${key}`);
    }
  }
  session.close();
  return { words: "changing steps with istiod cut off", statuses, wrong };
}

/** @returns the step's status, and what went wrong before it was cut off */
async function runCutOff(
  session: Session,
  scenario: Scenario,
  index: number,
): Promise<{ readonly status: Status; readonly before?: string }> {
  const applied: Applied = new Map();
  const impatient = { ...session, plan: { ...session.plan, inForceLimitMs: CUT_OFF_LIMIT_MS } };
  session.forget();
  let connect: (() => Promise<void>) | undefined;
  try {
    for (let earlier = 0; earlier < index; earlier++) {
      const { status, reason } = await runStep(session, scenario, earlier, applied);
      if (status === "error") return { status, before: `the step before it was in error: ${reason}` };
    }
    connect = await cutOffProxies(session.kube);
    return { status: (await runStep(impatient, scenario, index, applied)).status };
  } catch (error) {
    return connect ? { status: "error" } : { status: "error", before: describe(error) };
  } finally {
    await connect?.();
    await removeApplied(session, applied);
    // A proxy comes back to istiod after a pause that grows; the next step's limit is not meant for that.
    if (connect) await untilMeshSynced(session.kube);
  }
}

/** Between every istiod and every pod with a proxy; the API server still reaches istiod. */
async function cutOffProxies(kube: Kube): Promise<() => Promise<void>> {
  const { items } = await kube.core.listPodForAllNamespaces();
  const proxies = items.filter(hasProxyContainer);
  const istiods = await readyPods(kube, ROOT_NAMESPACE, ISTIOD);
  const routes = istiods.flatMap(({ status: istiod }) =>
    proxies.flatMap(({ status: proxy }): Route[] =>
      istiod?.podIP && proxy?.podIP ? [{ from: istiod.podIP, to: proxy.podIP }] : [],
    ),
  );
  return cutOff(await nodeOf(proxies[0]?.metadata?.name ?? ""), routes);
}

/** Lets istiod wait so long for further changes before it pushes any, and waits until the mesh runs so. */
async function setDebounce(kube: Kube, seconds: number): Promise<void> {
  const env = [
    { name: "PILOT_DEBOUNCE_AFTER", value: `${seconds}s` },
    { name: "PILOT_DEBOUNCE_MAX", value: `${Math.max(10, seconds)}s` },
  ];
  const istiod = {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: "istiod", namespace: ROOT_NAMESPACE },
    spec: { template: { spec: { containers: [{ name: "discovery", env }] } } },
  } as unknown as V1Deployment;
  const how = PatchStrategy.StrategicMergePatch;
  await kube.objects.patch(istiod, undefined, undefined, undefined, undefined, how);
  await waitForDeployment(kube, ROOT_NAMESPACE, "istiod");
  await untilMeshSynced(kube);
}

/** Scenarios that are wrong on purpose: their last step expects what held before its change. */
const WRONG = path.join(import.meta.dirname, "fixtures/wrong");

/**
 * Runs scenarios, and the wrong ones beside them, while each push of istiod comes late: the former must be as they are without
 * that, the latter must all fail.
 */
export async function pushLate(
  name: string,
  scenarios: readonly Scenario[],
  seconds: number,
  folder: string,
): Promise<FaultOutcome> {
  const root = path.join(folder, `late-${seconds}`);
  await copyScenarios(scenarios, root);
  await cp(WRONG, path.join(root, "wrong"), { recursive: true });
  const { cluster, session } = await attachInProcess(name, folder);
  // A setting of the mesh is another scenario's.
  await cluster.setMesh({});
  await setDebounce(session.kube, seconds);
  session.close();
  const result = await run(name, root, path.join(folder, `results-${seconds}`));
  const statuses = new Map(result.scenarios.map(({ id, status }) => [id, status]));
  const isRight = (id: string, status: Status): boolean => status === (id.startsWith("wrong/") ? "failed" : "passed");
  const wrong = result.scenarios
    .filter(({ id, status }) => !isRight(id, status))
    .map(({ id, status, reason }) => `${id}: ${status}${reason === undefined ? "" : ` (${reason})`}`);
  return { words: `scenarios with pushes ${seconds} s late, those of wrong/ failed`, statuses, wrong };
}

/** Runs scenarios while no container's log can be read: a step that needs a log must not pass. */
export async function withoutLogs(name: string, scenarios: readonly Scenario[], folder: string): Promise<FaultOutcome> {
  const words = "steps that need a log, without logs";
  const needy = scenarios.filter(({ steps }) => steps.some(needsLog));
  if (needy.length === 0) return { words: `${words}: none is selected`, statuses: new Map(), wrong: [] };
  const root = path.join(folder, "without-logs");
  await copyScenarios(needy, root);
  const preload = path.join(import.meta.dirname, "refuse-logs.mjs");
  const result = await run(name, root, path.join(folder, "results-logs"), { NODE_OPTIONS: `--import ${preload}` });
  const steps = needy.flatMap(({ id, steps }) => {
    const found = result.scenarios.find((one) => one.id === id);
    return steps.flatMap((step, index): [string, Status][] =>
      needsLog(step) ? [[`${id}, ${step.name}`, statusOf(found?.steps[index], found?.status)]] : [],
    );
  });
  const wrong = steps.filter(([, status]) => status === "passed").map(([key]) => `${key}: passed`);
  return { words, statuses: new Map(steps), wrong };
}

/** A step that was not come to was not passed. */
const statusOf = (step: StepResult | undefined, whole: Status = "error"): Status =>
  step?.status ?? (whole === "passed" ? "error" : whole);

function needsLog({ checks, asked }: StepSpec): boolean {
  return asked.length > 0 || checks.some(({ expect }) => needsAccessLog(expect));
}

/** A folder `scenarios` of these alone. */
async function copyScenarios(scenarios: readonly Scenario[], root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  for (const { id } of scenarios) await cp(path.join(SCENARIOS, id), path.join(root, id), { recursive: true });
}

async function run(name: string, root: string, results: string, env: Record<string, string> = {}): Promise<RunResult> {
  const all = { ...process.env, ...env, [KEEP_WORKER_VARIABLE]: "1" };
  const meshproof = $({
    cwd: PROJECT,
    stdio: ["ignore", "inherit", "inherit"],
    nothrow: true,
    verbose: false,
    env: all,
  });
  await meshproof`node cli/meshproof.mjs run --name ${name} --scenarios ${root} --results ${results}`;
  const latest = path.join(results, "latest", "results.json");
  if (!(await readdir(results)).includes("latest")) throw new Error("the run left no results");
  return JSON.parse(await readFile(latest, "utf8")) as RunResult;
}
