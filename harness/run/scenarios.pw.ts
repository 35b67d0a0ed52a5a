import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test as base } from "@playwright/test";
import type { MeshSetting } from "../../clusters/cluster.ts";
import { loadScenarios } from "../scenario/index.ts";
import { requestMesh } from "./control.ts";
import { inRunOrder, readPlan } from "./plan.ts";
import { describe, runScenario, unrun } from "./scenario.ts";
import { openSession, type Session } from "./session.ts";

const plan = readPlan();
const { scenarios } = await loadScenarios(plan.scenariosRoot, plan.projectRoot);

interface WorkerFixtures {
  session: Session;
  /** Brings the mesh to a setting, if it has another one. */
  mesh: (setting: MeshSetting) => Promise<void>;
}

const test = base.extend<object, WorkerFixtures>({
  session: [
    async ({}, use) => {
      const session = await openSession(plan);
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
  test(scenario.id, async ({ session, mesh }, info) => {
    const result = await mesh(scenario.mesh).then(
      () => runScenario(session, scenario),
      (error: unknown) => unrun(scenario, "error", `the mesh did not take the setting: ${describe(error)}`),
    );
    await writeFile(path.join(plan.partsDir, `${scenario.id.replaceAll("/", "__")}.json`), JSON.stringify(result));
    info.annotations.push({ type: "status", description: result.status });
    if (result.status === "passed" || result.status === "known-failure") return;
    const reasons = result.steps.flatMap((s) => [...s.checks, ...s.asked].flatMap((c) => (c.reason ? [c.reason] : [])));
    throw new Error(
      [`${scenario.id} ${result.status}`, result.reason, ...reasons.slice(0, 20)].filter(Boolean).join("\n"),
    );
  });
}
