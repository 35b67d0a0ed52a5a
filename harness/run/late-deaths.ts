/** Deaths that are published when their scenario has ended: the pods around all scenarios are compared once more. */

import { readFile } from "node:fs/promises";
import { messageOf } from "../mesh/api-error.ts";
import { sentences } from "../../reports/words.ts";
import { inLanes } from "../lanes.ts";
import type { ScenarioFinding } from "../model/finding.ts";
import type { Disturbance, ScenarioResult } from "../model/result.ts";
import type { Scenario } from "../model/scenario.ts";
import { inLane, withoutLanes } from "./lane.ts";
import { lanesOf, type SessionPlan } from "./plan.ts";
import { findDeaths, podsFileOf, readPods, selectionsOf, type Around, type PodsSeen } from "./restarts.ts";
import type { Session } from "./session.ts";

/** The pods after all scenarios; what kept them from being read. */
export type LastSeen = { readonly pods: PodsSeen } | { readonly unread: string };

/** Looks at the pods once more after all scenarios, when deaths of the last moments have been published. Never throws. */
export async function lookLast(session: Session, scenarios: readonly Scenario[]): Promise<LastSeen> {
  // The kubelet of the embedded cluster writes a death at once; a program that was hit still needs a moment to end.
  const published = session.handle.kind === "embedded" ? 500 : PUBLISHED_MS;
  const seen = await readAround(session.plan, scenarios);
  const ended = Math.max(0, ...[...seen.values()].map(({ after }) => after.at));
  // eslint-disable-next-line no-restricted-syntax -- when another process saw it
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, ended + published - Date.now())));
  try {
    const lanes = lanesOf(session.plan).map((lane) => inLane(session.handle, lane));
    return { pods: withoutLanes(session.handle, await readPods(session.kube, selectionsOf(lanes, scenarios))) };
  } catch (error) {
    return { unread: messageOf(error) };
  }
}

export async function readAround(
  plan: Pick<SessionPlan, "podsDir" | "lanes" | "ownLane1">,
  ran: readonly { readonly id: string }[],
): Promise<Map<string, Around>> {
  const possible = lanesOf(plan).flatMap((lane) => ran.map(({ id }) => ({ id, lane })));
  const seen = await inLanes(possible, async ({ id, lane }): Promise<[string, Around][]> => {
    // A scenario that did not come to its end left nothing, and is in error already.
    const text = await readFile(podsFileOf({ plan, lane }, id), "utf8").catch(() => undefined);
    return text === undefined ? [] : [[id, JSON.parse(text) as Around]];
  });
  return new Map(seen.flat());
}

/** {@link lookLast} and {@link chargeDeaths} in one, where one process does all. */
export async function reviewDeaths(
  session: Session,
  scenarios: readonly Scenario[],
  results: readonly ScenarioResult[],
): Promise<ScenarioResult[]> {
  const around = await readAround(session.plan, results);
  return around.size === 0 ? [...results] : chargeDeaths(results, around, await lookLast(session, scenarios));
}

/**
 * Charges each death that was published late to what ran when it happened. Where the pods could not be read any more, the
 * scenarios of the last moments are in error.
 */
export function chargeDeaths(
  results: readonly ScenarioResult[],
  around: ReadonlyMap<string, Around>,
  last: LastSeen,
): ScenarioResult[] {
  if ("pods" in last) return chargeLate(results, around, last.pods);
  const ended = Math.max(...[...around.values()].map(({ after }) => after.at));
  const finding: ScenarioFinding = { kind: "deaths-not-known", error: last.unread };
  return chargeLate(results, around).map((result) => {
    const recent = (around.get(result.id)?.after.at ?? 0) > ended - PUBLISHED_MS;
    return recent ? inError(result, [finding]) : result;
  });
}

/**
 * A kubelet needs a moment to publish that a container died: a scenario may have passed before that, and the death is seen
 * during a later one, or at the end of the run. The container's end time decides to which scenario it belongs.
 * @param seen what was seen around each scenario, by id
 * @param last the pods after all of them, where they could be read
 */
export function chargeLate(
  results: readonly ScenarioResult[],
  seen: ReadonlyMap<string, Around>,
  last?: PodsSeen,
): ScenarioResult[] {
  // One after the other ran in each lane; what lanes share (istiod) is in the lists of each.
  const lanes = Map.groupBy(seen.values(), ({ lane = 1 }) => lane);
  const deaths = new Map([...lanes].map(([lane, around]) => [lane, findLate(around, last)]));
  return results.map((result) => {
    const around = seen.get(result.id);
    if (around === undefined) return result;
    const late = (deaths.get(around.lane ?? 1) ?? [])
      .filter(({ window: [from, to] }) => from <= around.after.at && to >= around.before.at)
      .map(({ death }) => death)
      .filter((death) => !result.disturbances?.some((known) => JSON.stringify(known) === JSON.stringify(death)));
    return late.length === 0 ? result : disturbed(result, late);
  });
}

interface LateDeath {
  readonly death: Disturbance;
  /** When it happened: not before, not after. */
  readonly window: readonly [number, number];
}

function findLate(around: readonly Around[], last?: PodsSeen): LateDeath[] {
  const inOrder = around.toSorted((a, b) => a.before.at - b.before.at);
  const lists = [...inOrder.flatMap(({ before, after }) => [before, after]), ...(last ? [last] : [])];
  return lists.slice(1).flatMap((list, index) => {
    const earlier = lists[index] as PodsSeen;
    // A pod that came between two scenarios (a mesh setting) is not compared with nothing.
    const same = { at: list.at, pods: list.pods.filter(({ uid }) => earlier.pods.some((pod) => pod.uid === uid)) };
    return findDeaths(earlier, same).map((death) => ({ death, window: windowOf(death, earlier.at, list.at) }));
  });
}

/** How long a kubelet may take to publish a death: it looks once a second (PLEG), and then writes. */
export const PUBLISHED_MS = 3_000;

/** When a container died at the earliest and at the latest. Its own time is of whole seconds, by the clock of its node. */
function windowOf({ last }: Disturbance, from: number, to: number): [number, number] {
  const finished = Date.parse(last?.finishedAt ?? "");
  // A clock that is off says nothing.
  if (Number.isNaN(finished) || finished > to + 1000 || finished < from - 10 * PUBLISHED_MS)
    return [from - PUBLISHED_MS, to];
  return [finished, Math.min(finished + 1000, to)];
}

/** The result of a disturbed scenario: in error, with any answers. */
export function disturbed(result: ScenarioResult, found: readonly Disturbance[]): ScenarioResult {
  if (found.length === 0) return result;
  return {
    ...inError(
      result,
      found.map((disturbance) => ({ kind: "disturbance", disturbance })),
    ),
    disturbances: [...(result.disturbances ?? []), ...found],
  };
}

/** Earlier findings of a scenario in error come first. */
function inError(result: ScenarioResult, more: readonly ScenarioFinding[]): ScenarioResult {
  const findings = [...(result.status === "error" ? (result.findings ?? []) : []), ...more];
  return { ...result, status: "error", findings, reason: sentences(findings) };
}
