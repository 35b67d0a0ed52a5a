import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test as base } from "@playwright/test";
import type { MeshSetting } from "../../clusters/cluster.ts";
import { COLLECT_LIMIT_MS } from "../diagnostics/bundle.ts";
import { loadScenarios } from "../scenario/index.ts";
import { requestGround, requestMesh } from "./control.ts";
import { KEEP_WORKER_VARIABLE, inRunOrder, readPlan, type Ground } from "./plan.ts";
import { describe, excuseOwn, runScenario, unrun } from "./scenario.ts";
import { openSession, type Session } from "./session.ts";

const plan = readPlan();
const { scenarios } = await loadScenarios(plan.scenariosRoot, plan.projectRoot);

interface WorkerFixtures {
  ground: Ground;
  session: Session;
  /** Brings the mesh to a setting, if it has another one. */
  mesh: (setting: MeshSetting) => Promise<void>;
}

const test = base.extend<object, WorkerFixtures>({
  // Without a limit: the cluster may be starting, and its owner ends the run where it does not.
  ground: [async ({}, use) => use(await requestGround(plan.controlSocket)), { scope: "worker", timeout: 0 }],
  session: [
    async ({ ground }, use) => {
      const session = await openSession(plan, ground.handle);
      await use(session);
      session.close();
    },
    { scope: "worker" },
  ],
  mesh: [
    async ({}, use) => {
      let current: string | undefined;
      await use(async (setting) => {
        const wanted = JSON.stringify(setting);
        if (wanted !== current) await requestMesh(plan.controlSocket, setting);
        current = wanted;
      });
    },
    { scope: "worker" },
  ],
});

for (const scenario of inRunOrder(scenarios.filter((s) => plan.ids.includes(s.id)))) {
  test(scenario.id, async ({ ground, session, mesh }, info) => {
    if (!ground.ids.includes(scenario.id)) {
      info.annotations.push({ type: "status", description: "left out" });
      return;
    }
    info.setTimeout(info.timeout + scenario.steps.length * COLLECT_LIMIT_MS);
    const result = await mesh(scenario.mesh).then(
      () => runScenario(session, scenario),
      (error: unknown) => unrun(scenario, "error", `the mesh did not take the setting: ${describe(error)}`),
    );
    await writeFile(path.join(plan.partsDir, `${scenario.id.replaceAll("/", "__")}.json`), JSON.stringify(result));
    const { status } = excuseOwn(scenario, result);
    info.annotations.push({ type: "status", description: status });
    if (status === "passed" || status === "known-failure" || process.env[KEEP_WORKER_VARIABLE]) return;
    const reasons = result.steps.flatMap((s) => [...s.checks, ...s.asked].flatMap((c) => (c.reason ? [c.reason] : [])));
    throw new Error(
      [`${scenario.id} ${result.status}`, result.reason, ...reasons.slice(0, 20)].filter(Boolean).join("\n"),
    );
  });
}
