/** What an upgrade found. Plain data: written as upgrade.json, read by its reports. */

import type { ClusterInfo } from "../../clusters/cluster.ts";
import type { Counts } from "../result.ts";
import { countOfIncidents, type Incident, type StreamResult } from "./verdict.ts";

/** The phases in which the scenarios run. */
export const RUN_PHASES = { from: "first run", to: "second run" } as const;

export interface UpgradeResult {
  readonly schemaVersion: 1;
  readonly id: string;
  readonly tool: { readonly name: "meshproof"; readonly version: string };
  readonly command: string;
  readonly strategy: "in-place" | "revision";
  readonly startedAt: string;
  readonly finishedAt: string;
  /** The cluster as it was, and as it is now, by what its processes say. */
  readonly from: ClusterInfo;
  readonly to: ClusterInfo;
  /** From the streams' first request to their last. */
  readonly phases: readonly { readonly name: string; readonly startedAt: string; readonly durationMs: number }[];
  readonly streams: readonly StreamResult[];
  /** Scenarios of the runs whose policies hold for every workload of the mesh, so that they may refuse any request. */
  readonly meshWide: readonly string[];
  /** How many requests that must be admitted may fail; any number where it is left out. */
  readonly maxUnavailable?: number;
  /** Why the streams prove nothing: pods that restarted. */
  readonly problems: readonly string[];
  /** The scenarios' checks before and after. */
  readonly checks: { readonly from: Counts; readonly to: Counts };
  /** Differences between the two runs that no list of known changes has. */
  readonly unexpected: number;
}

/** Why an upgrade is not good, one sentence each, the worst first. */
export function complaintsOf(result: UpgradeResult): string[] {
  const breached = result.streams.filter(({ breaches }) => breaches.length > 0);
  const { maxUnavailable, unexpected } = result;
  const failed = unavailableOf(result);
  return [
    ...breached.map(
      ({ name, breaches }) =>
        `${name}: ${countOfIncidents(breaches)} requests that must be refused were let through (${phasesOf(breaches)})`,
    ),
    ...problemsOf(result),
    ...(maxUnavailable !== undefined && failed > maxUnavailable
      ? [`${failed} requests that must be admitted failed, and ${maxUnavailable} may`]
      : []),
    ...(unexpected > 0 ? [`${unexpected} unexpected changes between the runs`] : []),
  ];
}

/** Why the streams prove nothing. */
function problemsOf({ streams, problems }: UpgradeResult): string[] {
  const unsound = streams.flatMap(({ name, problem }) => (problem === undefined ? [] : [`${name}: ${problem}`]));
  return [...unsound, ...problems];
}

/** Requests that must be admitted and failed. */
export function unavailableOf(result: UpgradeResult): number {
  return countOfIncidents(admittedFailures(result)) - refusedByScenarios(result);
}

/** Requests of the streams that policies of {@link UpgradeResult.meshWide} refused during the runs, which is no failure. */
export function refusedByScenarios(result: UpgradeResult): number {
  if (result.meshWide.length === 0) return 0;
  const runs: readonly string[] = Object.values(RUN_PHASES);
  const refused = ({ phase, status }: Incident): boolean => runs.includes(phase) && (status === 401 || status === 403);
  return countOfIncidents(admittedFailures(result).filter(refused));
}

const admittedFailures = ({ streams }: UpgradeResult): Incident[] =>
  streams.filter(({ expected }) => expected < 300).flatMap(({ failures }) => failures);

const phasesOf = (incidents: readonly { readonly phase: string }[]): string =>
  [...new Set(incidents.map(({ phase }) => phase))].join(", ");

/** 0 where nothing is wrong, 3 where nothing can be said because a stream stopped or a pod restarted, else 1. */
export function upgradeExitCode(result: UpgradeResult): 0 | 1 | 3 {
  const complaints = complaintsOf(result).length - problemsOf(result).length;
  if (complaints > 0) return 1;
  return problemsOf(result).length > 0 ? 3 : 0;
}
