/** Judges the result of an upgrade. Pure. */

import { MeshproofError } from "../model/errors.ts";
import type { Allowance, Incident, StreamProblem, StreamResult, UpgradeResult } from "../model/upgrade.ts";
import { countOfIncidents, STEADY } from "./verdict.ts";

/** The phases in which the scenarios run. */
export const RUN_PHASES = { from: "first run", to: "second run" } as const;

/**
 * Reads how many requests may fail.
 * @param text `20`, `1%` or `0.5%`
 * @throws MeshproofError ERR_USAGE
 */
export function parseAllowance(text: string): Allowance {
  const [, number = "", percent] = /^(\d{1,9}(?:\.\d{1,6})?)(%)?$/.exec(text) ?? [];
  const value = Number(number);
  const isShare = percent !== undefined;
  if (number === "" || (isShare ? value > 100 : !Number.isInteger(value)))
    throw new MeshproofError("ERR_USAGE", `--max-unavailable takes a number of requests or a share, not "${text}"`, {
      hint: "write 20, or 1%",
    });
  return isShare ? { share: value / 100 } : { requests: value };
}

/** Formats an allowance as on the command line. */
export function formatAllowance(allowance: Allowance): string {
  return "share" in allowance ? `${Number((allowance.share * 100).toFixed(6))}%` : `${allowance.requests}`;
}

/** The faults of an upgrade, one sentence each, the worst first. */
export function complaintsOf(result: UpgradeResult): string[] {
  const breached = result.streams.filter(({ breaches }) => breaches.length > 0);
  const { unexpected } = result;
  return [
    ...breached.map(
      ({ name, breaches }) =>
        `${name}: ${countOfIncidents(breaches)} requests that must be refused were let through (${phasesOf(breaches)})`,
    ),
    ...problemsOf(result),
    ...tooManyFailed(result),
    ...(unexpected > 0 ? [`${unexpected} unexpected changes between the runs`] : []),
  ];
}

function tooManyFailed(result: UpgradeResult): string[] {
  const { maxUnavailable } = result;
  const failed = unavailableOf(result);
  const sent = result.streams.filter(isAdmitted).reduce((sum, stream) => sum + stream.sent, 0);
  const may = "share" in maxUnavailable ? maxUnavailable.share * sent : maxUnavailable.requests;
  if (failed <= may) return [];
  const phases = phasesOf(admittedFailures(result).filter((incident) => !isRefusedByScenario(result, incident)));
  const which = `${failed} of ${sent} requests that must be admitted failed (${phases})`;
  return [`${which}, and ${formatAllowance(maxUnavailable)} may (--max-unavailable)`];
}

/** Why the streams prove nothing. */
function problemsOf({ streams, problems }: UpgradeResult): string[] {
  const unsound = streams.flatMap(({ name, problems }) => problems.map((each) => `${name}: ${describeProblem(each)}`));
  return [...(streams.length === 0 ? ["no stream of requests was sent"] : []), ...unsound, ...problems];
}

/** A sentence about a problem, without the stream's name. */
export function describeProblem(problem: StreamProblem): string {
  const seconds = (ms: number): string => `${(ms / 1000).toFixed(1)} s`;
  switch (problem.kind) {
    case "broken":
      return `its client ended: ${problem.words}`;
    case "phases":
      return `it got no right answer in ${problem.phases.join(", ")}: what was refused then proves nothing`;
    case "gap": {
      const { sent, forMs, phases } = problem.gap;
      const what = sent === 0 ? "it sent nothing" : "it got no right answer";
      return `${what} for ${seconds(forMs)} (${phases.join(", ")})`;
    }
    case "few": {
      const where = problem.phases.length === 0 ? "" : `, fewest in ${problem.phases.join(", ")}`;
      return `it got ${problem.right} right answers where ${problem.due} were due${where}`;
    }
    case "end":
      return `it got ${problem.right} right answers at the end (${problem.phase}), and ${STEADY} are needed`;
    case "clock":
      return `the machine's clock was set by ${seconds(problem.byMs)} (${problem.phase}), so that tokens may have expired early or late`;
  }
}

/** Number of requests that must be admitted and failed. */
export function unavailableOf(result: UpgradeResult): number {
  return countOfIncidents(admittedFailures(result)) - refusedByScenarios(result);
}

/** Number of the streams' requests that policies of {@link UpgradeResult.meshWide} denied during the runs, which is not a failure. */
export function refusedByScenarios(result: UpgradeResult): number {
  return countOfIncidents(admittedFailures(result).filter((incident) => isRefusedByScenario(result, incident)));
}

/** Whether one of the scenarios of {@link UpgradeResult.meshWide} may have denied a request that must be admitted. */
export function isRefusedByScenario(
  { meshWide }: Pick<UpgradeResult, "meshWide">,
  { phase, status }: Pick<Incident, "phase" | "status">,
): boolean {
  const runs: readonly string[] = Object.values(RUN_PHASES);
  return meshWide.length > 0 && runs.includes(phase) && (status === 401 || status === 403);
}

const isAdmitted = ({ expected }: StreamResult): boolean => expected < 300;

const admittedFailures = ({ streams }: UpgradeResult): Incident[] =>
  streams.filter(isAdmitted).flatMap(({ failures }) => failures);

const phasesOf = (incidents: readonly { readonly phase: string }[]): string =>
  [...new Set(incidents.map(({ phase }) => phase))].join(", ");

/** 0 if nothing is wrong, 3 if the result is not known because a stream has no right answers or a pod restarted, else 1. */
export function upgradeExitCode(result: UpgradeResult): 0 | 1 | 3 {
  const complaints = complaintsOf(result).length - problemsOf(result).length;
  if (complaints > 0) return 1;
  return problemsOf(result).length > 0 ? 3 : 0;
}
