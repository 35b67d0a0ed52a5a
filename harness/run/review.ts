import type { CheckResult, ScenarioResult, StepResult } from "../model/result.ts";
import { reviewDetails, statusOfScenario, statusOfStep } from "../verdict/index.ts";
import type { AccessLog } from "./access-log.ts";

/** Scenarios of some tenths of a second each: so many together last longer than Envoy's interval. */
const KEPT_WAITING = 20;

/** A scenario's result, and what is done with it when its last lines have been written. What is excused is decided after that. */
export interface Unreviewed {
  readonly result: ScenarioResult;
  readonly finish: (reviewed: ScenarioResult) => Promise<void>;
}

/**
 * Reviews results with the access logs when these are complete: Envoy writes with a delay, and scenarios do not wait for it. A
 * check without a line does not change.
 */
export interface Reviewer {
  add(unreviewed: Unreviewed): Promise<void>;
  /** Waits for lines that are not written yet. */
  end(): Promise<void>;
}

export function createReviewer(log: AccessLog, prefixOf: (scenario: ScenarioResult) => string): Reviewer {
  let waiting: Unreviewed[] = [];
  const finish = async (ready: readonly Unreviewed[]): Promise<void> => {
    waiting = waiting.filter((each) => !ready.includes(each));
    for (const { result, finish: decide } of ready) {
      await decide(reviewed(log, result));
      log.drop(prefixOf(result));
    }
  };
  return {
    async add(unreviewed) {
      waiting.push(unreviewed);
      const old = waiting.length - KEPT_WAITING;
      await finish(waiting.filter(({ result }, index) => index < old || unseen(log, result).length === 0));
    },
    async end() {
      await log.wait(waiting.flatMap(({ result }) => unseen(log, result)));
      await finish(waiting);
    },
  };
}

/** The requests that have no line yet. */
function unseen(log: AccessLog, { steps }: ScenarioResult): string[] {
  return steps.flatMap(({ checks }) =>
    checks.flatMap(({ got: { details, userAgent } }) =>
      userAgent !== undefined && details === undefined && "missing" in log.find(userAgent) ? [userAgent] : [],
    ),
  );
}

function reviewed(log: AccessLog, scenario: ScenarioResult): ScenarioResult {
  const steps = scenario.steps.map((step): StepResult => {
    const checks = step.checks.map((check): CheckResult => {
      // What was demanded has been judged already.
      if (check.got.details !== undefined || check.status === "error") return check;
      return reviewDetails(check, log.find(check.got.userAgent ?? ""));
    });
    if (checks.every((check, index) => check === step.checks[index])) return step;
    return { ...step, checks, status: statusOfStep({ ...step, checks }) };
  });
  return { ...scenario, steps, status: statusOfScenario({ ...scenario, steps }) };
}
