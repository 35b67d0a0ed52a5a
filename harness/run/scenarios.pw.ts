import { writeFile } from "node:fs/promises";
import path from "node:path";
import { test as base } from "@playwright/test";
import { COLLECT_LIMIT_MS } from "../diagnostics/bundle.ts";
import type { ScenarioResult } from "../model/result.ts";
import { loadScenarios } from "../scenario/index.ts";
import type { Scenario } from "../model/scenario.ts";
import { mayHoldOldKeys } from "./fresh-keys.ts";
import { requestGround, requestMesh } from "./control.ts";
import { KEEP_WORKER_VARIABLE, inRunOrder, readPlan, type Ground } from "./plan.ts";
import { createReviewer } from "./review.ts";
import { errorOf, excuseOwn, runScenario, unrun } from "./scenario.ts";
import { openSession, type Session } from "./session.ts";
import { sweep } from "./sweep.ts";

const plan = readPlan();
const { scenarios } = await loadScenarios(plan.scenariosRoot, plan.projectRoot);

/** Each wait inside has a limit of its own that explains itself; these only end a run that hangs. */
const SET_UP_LIMIT_MS = 300_000;
const STEP_LIMIT_MS = 2 * plan.inForceLimitMs + plan.limitMs + COLLECT_LIMIT_MS + 120_000;

interface WorkerFixtures {
  ground: Ground;
  session: Session;
  /** Keeps what a scenario found, at once and again when the access logs have been read. */
  keep: (found: ScenarioResult) => Promise<void>;
  /** Brings the mesh to a setting, if it has another one. */
  mesh: (scenario: Scenario) => Promise<void>;
}

const chosen = inRunOrder(scenarios.filter((s) => plan.ids.includes(s.id)));

const test = base.extend<object, WorkerFixtures>({
  // Without a limit: the cluster may be starting, and its owner ends the run where it does not.
  ground: [async ({}, use) => use(await requestGround(plan.controlSocket)), { scope: "worker", timeout: 0 }],
  session: [
    async ({ ground }, use) => {
      const session = await openSession(plan, ground.handle);
      // The worker before this one may have ended in the middle of a scenario.
      await sweep(session, chosen);
      await use(session);
      session.close();
    },
    { scope: "worker" },
  ],
  keep: [
    async ({ session }, use) => {
      const reviewer = createReviewer(session.accessLog, ({ id }) => `meshproof/${plan.runId}/${id}/`);
      const write = (result: ScenarioResult): Promise<void> =>
        writeFile(path.join(plan.partsDir, `${result.id.replaceAll("/", "__")}.json`), JSON.stringify(result));
      await use(async (found) => {
        await write(found);
        await reviewer.add({ result: found, finish: write });
      });
      await reviewer.end();
    },
    { scope: "worker" },
  ],
  mesh: [
    async ({ session }, use) => {
      let current: string | undefined;
      await use(async (scenario) => {
        const wanted = JSON.stringify(scenario.mesh);
        const restart = await mayHoldOldKeys(session, scenario);
        if (wanted !== current || restart) await requestMesh(plan.controlSocket, scenario.mesh, { restart });
        current = wanted;
      });
    },
    { scope: "worker" },
  ],
});

for (const scenario of chosen) {
  test(scenario.id, async ({ ground, session, mesh, keep }, info) => {
    if (!ground.ids.includes(scenario.id)) {
      info.annotations.push({ type: "status", description: "left out" });
      return;
    }
    info.setTimeout(SET_UP_LIMIT_MS + scenario.steps.length * STEP_LIMIT_MS);
    const result = await mesh(scenario).then(
      () => runScenario(session, scenario),
      (error: unknown) => unrun(scenario, "error", [{ kind: "mesh-setting-refused", error: errorOf(error) }]),
    );
    if (result.status === "error") await sweep(session, chosen);
    await keep(result);
    const { status } = excuseOwn(scenario, result);
    info.annotations.push({ type: "status", description: status });
    if (status === "passed" || status === "known-failure" || process.env[KEEP_WORKER_VARIABLE]) return;
    const reasons = result.steps.flatMap((s) => [...s.checks, ...s.asked].flatMap((c) => (c.reason ? [c.reason] : [])));
    throw new Error(
      [`${scenario.id} ${result.status}`, result.reason, ...reasons.slice(0, 20)].filter(Boolean).join("\n"),
    );
  });
}
