/**
 * Kills a program in a phase of a step: the scenario must end in an error that names the program, and must not pass. There are five
 * programs and five phases. By default each occurs once; MESHPROOF_CRASHES=all tests all twenty-five pairs.
 */

import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { after, before, describe, it } from "node:test";
import type { V1Pod } from "@kubernetes/client-node";
import { execa } from "execa";
import { attachInProcess, type InProcess } from "../../tools/in-process.ts";
import { findProcess, kill, type Program } from "../../tools/processes.ts";
import { table } from "../../cli/table.ts";
import { untilMeshSynced } from "../../harness/mesh/mesh-setting.ts";
import { readyPods, waitFor } from "../../harness/mesh/wait.ts";
import { loadScenarios } from "../../harness/scenario/index.ts";
import type { Scenario } from "../../harness/model/scenario.ts";
import { reviewDeaths } from "../../harness/run/late-deaths.ts";
import { runScenario } from "../../harness/run/scenario.ts";
import type { Session } from "../../harness/run/session.ts";

const ROOT = path.join(import.meta.dirname, "../..");
const SCENARIO = "authz/deny-names-its-policy";
const NAME = `crashes-${process.pid}`;

const PHASES = ["apply", "wait", "flush", "rounds", "review"] as const;
type Phase = (typeof PHASES)[number];

interface Victim {
  readonly program: Program;
  readonly namespace: string;
  readonly deployment: string;
  readonly container: string;
  readonly signal: "SIGKILL" | "SIGSEGV";
}
const httpbin = { namespace: "foo", deployment: "httpbin" };
const VICTIMS: readonly Victim[] = [
  { program: "envoy", ...httpbin, container: "istio-proxy", signal: "SIGSEGV" },
  { program: "pilot-agent", ...httpbin, container: "istio-proxy", signal: "SIGKILL" },
  { program: "istiod", namespace: "istio-system", deployment: "istiod", container: "discovery", signal: "SIGKILL" },
  { program: "workload", ...httpbin, container: "httpbin", signal: "SIGKILL" },
  { program: "client", namespace: "foo", deployment: "sleep", container: "sleep", signal: "SIGKILL" },
];

const CASES = VICTIMS.flatMap((victim, row) =>
  PHASES.filter((_, column) => process.env["MESHPROOF_CRASHES"] === "all" || column === row).map(
    (phase) => [victim, phase] as const,
  ),
);

/** The session as it is, but for one act in one phase of the first step. */
function actIn(session: Session, wanted: Phase, act: () => Promise<void>): Session {
  let acted: Promise<void> | undefined;
  let applied = false;
  const reach = async (phase: Phase): Promise<void> => {
    if (phase === wanted) await (acted ??= act());
  };
  const objects = new Proxy(session.kube.objects, {
    get(target, key) {
      const method: unknown = Reflect.get(target, key, target);
      if (typeof method !== "function") return method;
      return async (...args: unknown[]): Promise<unknown> => {
        if (key === "apply") {
          if ((args[1] as { dryRun?: boolean } | undefined)?.dryRun !== true) await reach("apply");
          applied = true;
        }
        return (await Reflect.apply(method, target, args)) as unknown;
      };
    },
  });
  return {
    ...session,
    kube: { ...session.kube, objects },
    proxyConfig: async (...asked) => {
      if (applied) await reach("wait");
      return await session.proxyConfig(...asked);
    },
    curl: async (where, config) => {
      // A request's User-Agent ends with its round; 0 is thrown away.
      const round = /"User-Agent: meshproof\/[^"]*\/(\d+)"/.exec(config.toString())?.[1];
      if (round === "0") await reach("flush");
      if (round === "2") await reach("rounds");
      return await session.curl(where, config);
    },
  };
}

describe("a crash during a scenario", () => {
  let folder: string;
  let ground: InProcess;
  let scenario: Scenario;
  const rows: string[][] = [];

  before(async () => {
    folder = await mkdtemp(path.join(tmpdir(), "meshproof-crashes-"));
    // Which leaves a cluster with what this scenario needs, and nothing else.
    const run = ["run", SCENARIO, "--keep", "--name", NAME, "--results", folder];
    await execa(process.execPath, ["cli/main.ts", ...run], { cwd: ROOT });
    ground = await attachInProcess(NAME, folder);
    const { scenarios } = await loadScenarios(path.join(ROOT, "scenarios"));
    scenario = scenarios.find(({ id }) => id === SCENARIO) as Scenario;
  });
  after(async () => {
    ground?.session.close();
    await execa(process.execPath, ["cli/main.ts", "down", "--name", NAME], { cwd: ROOT });
    await rm(folder, { recursive: true });
  });

  const podOf = async ({ namespace, deployment }: Victim): Promise<string> => {
    const [pod] = await readyPods(ground.session.kube, namespace, `app=${deployment}`);
    return pod?.metadata?.name ?? "";
  };

  const replace = async (pod: string, { namespace, deployment }: Victim): Promise<void> => {
    const { kube } = ground.session;
    await kube.core.deleteNamespacedPod({ name: pod, namespace });
    await waitFor<V1Pod, true>(
      kube,
      `/api/v1/namespaces/${namespace}/pods`,
      { labelSelector: `app=${deployment}` },
      // The Deployment's own counts may still be those of the pod that went.
      (pods) => {
        const ready = (one: V1Pod): boolean =>
          one.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True") === true;
        return pods.size > 0 && [...pods.values()].every((one) => one.metadata?.name !== pod && ready(one))
          ? true
          : undefined;
      },
      { limitMs: 60_000, code: "ERR_WORKLOAD_NOT_READY", explain: () => `no other pod takes the place of ${pod}` },
    );
    await untilMeshSynced(kube);
  };

  it("that does not happen is not seen", async () => {
    const result = await runScenario(ground.session, scenario);
    assert.equal(result.status, "passed", result.reason);
  });

  for (const [victim, phase] of CASES)
    it(`of ${victim.program} in the phase ${phase} is an error that names it`, async () => {
      const pod = await podOf(victim);
      let killed = false;
      const act = async (): Promise<void> => {
        await kill(await findProcess(pod, victim.program), victim.signal);
        killed = true;
      };
      const result = await runScenario(actIn(ground.session, phase, act), scenario);
      // After the last look at the pods, when the scenario has its result.
      if (phase === "review") await act();
      assert.ok(killed, `the phase ${phase} did not come: ${result.reason}`);
      const [reviewed] = await reviewDeaths(ground.session, [scenario], [result]);
      const told = reviewed?.disturbances?.map(
        ({ pod, container, last }) => `${pod}/${container} ${JSON.stringify(last)}`,
      );
      const late = result.status === reviewed?.status ? "" : " (seen in the review)";
      rows.push([victim.program, phase, `${reviewed?.status}${late}`, told?.join("; ") ?? ""]);
      // A new pod: a kubelet waits longer before each further restart.
      await replace(pod, victim);
      assert.equal(reviewed?.status, "error");
      assert.ok(
        reviewed.disturbances?.some(
          (one) => one.kind === "died" && one.pod === pod && one.container === victim.container,
        ),
        reviewed.reason,
      );
    });

  it("is over: the next run passes", async (t) => {
    t.diagnostic(`\n${table([["killed", "phase", "status", "what is told"], ...rows])}`);
    const result = await runScenario(ground.session, scenario);
    assert.equal(result.status, "passed", result.reason);
  });
});
