import { test as base, type TestInfo } from "@playwright/test";
import { inLanes } from "../lanes.ts";
import type { Scenario } from "../model/scenario.ts";
import { aloneOf, selectedOf, sweptOf } from "./loaded.ts";
import { laneOfWorker, readGround, type Ground } from "./plan.ts";
import { readSettings } from "./settings.ts";
import { openWorkerLane, type WorkerLane } from "./worker-lane.ts";

export { expect } from "@playwright/test";

/** Each wait inside has a limit of its own that explains itself; this only ends a run that hangs. */
const SET_UP_LIMIT_MS = 300_000;

interface WorkerFixtures {
  /** The cluster, as Playwright's global setup has prepared it. */
  ground: Ground;
  /** The lane that a scenario runs in: the worker's own, or lane 1 where it must run alone. */
  laneFor: (scenario: Scenario) => Promise<WorkerLane>;
}

export const test = base.extend<object, WorkerFixtures>({
  ground: [
    async ({}, use) => {
      const ground = readGround();
      const { name, kind, versions } = ground.handle.info;
      // What happened before the first test, where a person looks for it.
      await base.step(`${kind} cluster "${name}", Istio ${versions.istio}, Envoy ${versions.envoy}`, async () => {
        for (const { title, ms } of ground.steps) await base.step(`${title}: ${(ms / 1000).toFixed(1)} s`, () => {});
      });
      await use(ground);
    },
    { scope: "worker", title: "cluster" },
  ],
  laneFor: [
    async ({ ground }, use, { workerIndex, parallelIndex }) => {
      // Names of requests and addresses of keys are of one process, whichever scenario it repeats.
      const runId = workerIndex === 0 ? ground.plan.runId : `${ground.plan.runId}-w${workerIndex}`;
      const settings = readSettings();
      const scenarios = await sweptOf(settings, ground);
      const alone = await aloneOf(settings);
      const able = ({ id }: Scenario): boolean => !alone.has(id) && !(id in ground.skipped) && !(id in ground.refused);
      const needing = (await selectedOf(settings)).filter(able);
      const lanes = new Map<number, Promise<WorkerLane>>();
      const own = laneOfWorker(ground.plan, parallelIndex);
      const open = (lane: number): Promise<WorkerLane> => {
        const opened = lanes.get(lane) ?? openWorkerLane({ ground, lane, runId, scenarios, needing });
        lanes.set(lane, opened);
        return opened;
      };
      await use(async ({ id }) => {
        const beside = alone.get(id);
        const opened = open(beside === undefined ? own : 1);
        // What runs in lane 1 first leaves the time in which the worker's own becomes ready.
        if (beside === "in-lane-1" && ground.plan.ownLane1 === true) open(own).catch(() => undefined);
        await (await opened).enter();
        return await opened;
      });
      const opened = await Promise.allSettled(lanes.values());
      const worse = await Promise.all(
        opened.flatMap((lane) => (lane.status === "fulfilled" ? [lane.value.close()] : [])),
      );
      // Their tests have ended and passed: what Playwright says of the whole run must not.
      if (worse.flat().length > 0) throw new Error(worse.flat().join("\n"));
    },
    { scope: "worker", timeout: SET_UP_LIMIT_MS },
  ],
});

/** Everything that the harness kept of a failure, as attachments of one step. */
export async function attachFiles(info: TestInfo, files: readonly string[]): Promise<void> {
  if (files.length === 0) return;
  await base.step("keep what explains it", () =>
    inLanes(files, (file) => {
      const [step = "", name = ""] = file.split("/").slice(-2);
      // Playwright does not know what JSON lines are.
      const type = name.endsWith(".jsonl") ? { contentType: "text/plain" } : {};
      return info.attach(`step ${step}: ${name}`, { path: file, ...type });
    }),
  );
}
