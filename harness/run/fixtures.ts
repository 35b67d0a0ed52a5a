import { readFile, writeFile } from "node:fs/promises";
import { test as base, type TestInfo } from "@playwright/test";
import type { ScenarioResult } from "../model/result.ts";
import { inLanes } from "../lanes.ts";
import { PODS, RESULT } from "./attachments.ts";
import { scenariosOf } from "./loaded.ts";
import { readGround, type Ground } from "./plan.ts";
import { podsFileOf } from "./restarts.ts";
import { createReviewer } from "./review.ts";
import { openSession, type Session } from "./session.ts";
import { readSettings } from "./settings.ts";
import { sweep } from "./sweep.ts";

export { expect } from "@playwright/test";

/** Each wait inside has a limit of its own that explains itself; this only ends a run that hangs. */
const SET_UP_LIMIT_MS = 300_000;

interface WorkerFixtures {
  /** The cluster, as Playwright's global setup has prepared it. */
  ground: Ground;
  /** A view of the cluster of this worker's own. */
  session: Session;
  /** Attaches what a scenario found, at once, and again when the access logs have been read. */
  keep: (found: ScenarioResult, info: TestInfo) => Promise<void>;
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
  session: [
    async ({ ground }, use, { workerIndex }) => {
      // Names of requests and addresses of keys are of one process, whichever scenario it repeats.
      const runId = workerIndex === 0 ? ground.plan.runId : `${ground.plan.runId}-w${workerIndex}`;
      const session = await openSession({ ...ground.plan, runId }, ground.handle);
      // The worker before this one may have ended in the middle of a scenario.
      await sweep(session, await scenariosOf(readSettings()));
      await use(session);
      session.close();
    },
    { scope: "worker", timeout: SET_UP_LIMIT_MS },
  ],
  keep: [
    async ({ session }, use) => {
      const reviewer = createReviewer(session.accessLog, ({ id }) => `meshproof/${session.plan.runId}/${id}/`);
      const worse: string[] = [];
      await use(async (found, info) => {
        const own = info.outputPath("result.json");
        await writeFile(own, textOf(session, found));
        await info.attach(RESULT, { path: own, contentType: "application/json" });
        // Playwright has copied it: reporters read the copy when the run ends.
        const file = info.attachments.at(-1)?.path ?? own;
        const pods = podsFileOf(session.plan, found.id);
        if (await isThere(pods)) await info.attach(PODS, { path: pods, contentType: "application/json" });
        await reviewer.add({
          result: found,
          finish: async (reviewed) => {
            if (reviewed.status !== found.status && found.status === "passed")
              worse.push(`${found.id} is ${reviewed.status} by the access log`);
            await writeFile(file, textOf(session, reviewed));
          },
        });
      });
      await reviewer.end();
      // Its test has ended and passed: what Playwright says of the whole run must not.
      if (worse.length > 0) throw new Error(worse.join("\n"));
    },
    { scope: "worker", timeout: SET_UP_LIMIT_MS },
  ],
});

function textOf(session: Session, result: ScenarioResult): string {
  return session.tokens.redact(JSON.stringify(result));
}

async function isThere(file: string): Promise<boolean> {
  return readFile(file).then(
    () => true,
    () => false,
  );
}

/** Everything that the harness kept of a failure, as attachments. */
export async function attachFiles(info: TestInfo, files: readonly string[]): Promise<void> {
  await inLanes(files, (path) => info.attach(path.split("/").slice(-2).join("/"), { path }));
}
