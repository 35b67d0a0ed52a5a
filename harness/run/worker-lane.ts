/** A lane in a worker: its session, and how results are kept. */

import { existsSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import type { TestInfo } from "@playwright/test";
import type { Scenario } from "../model/scenario.ts";
import type { ScenarioResult } from "../model/result.ts";
import { replaceFile } from "../replace-file.ts";
import { redactData } from "../safe/redact.ts";
import { PODS, RESULT } from "./attachments.ts";
import { removeLeft } from "./changes.ts";
import { errorOf, readError, type Told } from "./parent.ts";
import type { Ground } from "./plan.ts";
import { podsFileOf } from "./restarts.ts";
import { createReviewer } from "./review.ts";
import { openSession, type Session } from "./session.ts";
import { sweep } from "./sweep.ts";
import { setUpWorkloads } from "./workloads.ts";

export interface WorkerLane {
  readonly session: Session;
  /** Before each scenario: removes what another worker may have left, if one was here since. */
  enter(): Promise<void>;
  /** Attaches what a scenario found, at once, and again when the access logs have been read. */
  keep(found: ScenarioResult, info: TestInfo): Promise<void>;
  /** @returns what the access logs have made worse */
  close(): Promise<string[]>;
}

export interface LaneOptions {
  readonly ground: Ground;
  readonly lane: number;
  /** The worker's own. */
  readonly runId: string;
  /** All of the run's folder. */
  readonly scenarios: readonly Scenario[];
  /** Those that need a lane ready; lane 1 is, when workers start. */
  readonly needing: readonly Scenario[];
}

/** @throws MeshproofError ERR_WORKLOAD_NOT_READY */
export async function openWorkerLane({ ground, lane, runId, scenarios, needing }: LaneOptions): Promise<WorkerLane> {
  const session = await openSession({ ...ground.plan, runId }, ground.handle, lane);
  if (lane > 1) await makeReady(session, needing, path.join(ground.lanesDir, `${lane}.ready`));
  const reviewer = createReviewer(session.accessLog, ({ id }) => `meshproof/${runId}/${id}/`);
  const visitorFile = path.join(ground.lanesDir, `${lane}.visitor`);
  const worse: string[] = [];
  return {
    session,
    async enter() {
      if ((await readIfThere(visitorFile)) === runId) return;
      await sweep(session, scenarios);
      await replaceFile(visitorFile, runId);
    },
    async keep(found, info) {
      // Reporters read this file when the run ends. `info.attach` would copy it, and record a step with a stack.
      const file = info.outputPath("result.json");
      await writeFile(file, textOf(session, found));
      info.attachments.push({ name: RESULT, path: file, contentType: "application/json" });
      const pods = podsFileOf(session, found.id);
      if (existsSync(pods)) info.attachments.push({ name: PODS, path: pods, contentType: "application/json" });
      await reviewer.add({
        result: found,
        finish: async (reviewed) => {
          if (reviewed.status !== found.status && found.status === "passed")
            worse.push(`${found.id} is ${reviewed.status} by the access log`);
          await writeFile(file, textOf(session, reviewed));
        },
      });
    },
    async close() {
      await removeLeft(session);
      await reviewer.end();
      session.close();
      return worse;
    },
  };
}

/** Deploys a lane's workloads once in a run: a worker that replaces another one finds them, or why they do not run. */
async function makeReady(session: Session, needing: readonly Scenario[], file: string): Promise<void> {
  const known = await readIfThere(file);
  if (known === "") return;
  if (known !== undefined) throw readError(JSON.parse(known) as Extract<Told, { kind: "error" }>);
  try {
    await setUpWorkloads(session, needing, { progress: () => undefined });
    await replaceFile(file, "");
  } catch (error) {
    const told = errorOf(error);
    if (told.kind === "error") await replaceFile(file, JSON.stringify(told));
    throw error;
  }
}

function textOf(session: Session, result: ScenarioResult): string {
  return JSON.stringify(redactData(session.shown(result), session.tokens.secrets()));
}

async function readIfThere(file: string): Promise<string | undefined> {
  return readFile(file, "utf8").catch(() => undefined);
}
