/** Compares two runs, cell by cell. */

import { isAdmission, isCheck, itemsOf, nameItem, type ItemResult } from "../model/items.ts";
import {
  unfinishedOf,
  type AdmissionResult,
  type AskedResult,
  type CheckResult,
  type RunResult,
  type ScenarioResult,
  type Status,
} from "../model/result.ts";
import type { Aspect, Cell, Change, Comparison, OneSided, Seen, Side } from "../model/comparison.ts";
import type { KnownChange } from "../model/known.ts";
import { directionOf, explains } from "./known.ts";

export interface Entry {
  readonly cell: Cell;
  readonly seen: Seen;
}

/**
 * Finds the changes between two runs. The time to enforce is reported, but is never a change. Response code details are compared
 * only if both runs have them, since an access log may lack a line.
 * @param known documented changes; the first one that explains a change is named
 */
export function compareRuns(before: RunResult, after: RunResult, known: readonly KnownChange[]): Comparison {
  const interrupted = [before, after].filter((run) => run.interrupted === true);
  const unfinished = new Set(interrupted.flatMap(unfinishedOf).map(({ id }) => id));
  const finished = (run: RunResult): RunResult => ({
    ...run,
    scenarios: run.scenarios.filter(({ id }) => !unfinished.has(id)),
  });
  const [old, fresh] = [entriesOf(finished(before)), entriesOf(finished(after))];
  const shared = [...old].flatMap(([key, entry]) => {
    const other = fresh.get(key);
    return other === undefined ? [] : [{ before: entry, after: other }];
  });
  const sides = {
    before: sideOf(
      before,
      shared.map((pair) => pair.before.seen),
    ),
    after: sideOf(
      after,
      shared.map((pair) => pair.after.seen),
    ),
  };
  const crossed = known.flatMap((entry) => {
    const direction = directionOf(entry, sides.before, sides.after);
    return direction === undefined ? [] : [{ entry, direction }];
  });
  const changes = shared.flatMap((pair): Change[] => {
    const aspects = aspectsOf(pair.before.seen, pair.after.seen);
    if (aspects.length === 0) return [];
    const change: Change = { ...pair.after.cell, before: pair.before.seen, after: pair.after.seen, aspects };
    const found = crossed.find(({ entry, direction }) => explains(entry, change, direction))?.entry;
    return [found === undefined ? change : { ...change, known: pick(found) }];
  });
  const only = (entries: typeof old, others: typeof old): OneSided[] =>
    [...entries]
      .filter(([key, entry]) => !others.has(key) && tells(entry))
      .map(([, { cell, seen }]) => ({ ...cell, seen }));
  const added = only(fresh, old);
  const removed = only(old, fresh);
  const quiet = shared.filter((pair) => aspectsOf(pair.before.seen, pair.after.seen).length === 0 && tells(pair.after));
  const unjudged = quiet.filter(({ after: { seen } }) => seen.status === "error" || seen.status === "skipped").length;
  return {
    schemaVersion: 1,
    ...sides,
    changes,
    added,
    removed,
    same: quiet.length - unjudged,
    unjudged,
    ...(interrupted.length === 0
      ? {}
      : { interrupted: { runs: interrupted.map(({ id }) => id), scenarios: [...unfinished].sort() } }),
    unseen: crossed.flatMap(({ entry }) => (changes.some((change) => change.known?.id === entry.id) ? [] : [entry.id])),
    unexpected:
      changes.filter((change) => change.known === undefined).length +
      removed.length +
      added.filter(({ seen }) => seen.status !== "passed" && seen.status !== "known-failure").length,
  };
}

/** Whether an entry counts: the entry of a whole scenario that ran adds nothing to its checks. */
function tells({ cell, seen }: Entry): boolean {
  return cell.step !== undefined || seen.status !== "passed";
}

function pick({ id, sentence, source }: KnownChange): NonNullable<Change["known"]> {
  return { id, sentence, source };
}

function sideOf(run: RunResult, shared: readonly Seen[]): Side {
  const times = shared.flatMap(({ enforcedMs }) => enforcedMs ?? []).sort((a, b) => a - b);
  const median = times[Math.floor(times.length / 2)];
  const { kubernetes, istio, envoy } = run.cluster.versions;
  return {
    run: run.id,
    startedAt: run.startedAt,
    cluster: run.cluster.kind,
    versions: { kubernetes, istio, envoy, meshproof: run.tool.version },
    scenarios: run.scenarios.length,
    checks: run.scenarios.flatMap(({ steps }) => steps.flatMap(itemsOf)).length,
    ...(median === undefined ? {} : { enforcedMs: median }),
  };
}

/** The entries of a run. Keys are JSON of their parts, so that names cannot collide. */
export function entriesOf(run: RunResult): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  const put = (cell: Cell, seen: Seen): void => {
    const parts = [cell.scenario, cell.step, cell.check];
    let key = JSON.stringify(parts);
    // The loader makes names unique; a file from another source may have duplicates, and must not lose a cell.
    for (let n = 2; entries.has(key); n++) key = JSON.stringify([...parts, n]);
    entries.set(key, { cell, seen });
  };
  for (const scenario of run.scenarios) {
    const { id, position } = scenario;
    for (const step of scenario.steps) {
      for (const item of itemsOf(step))
        put({ scenario: id, step: step.name, check: nameItem(item), position: item.position }, seenIn(item));
    }
    put({ scenario: id, position }, { status: wholeStatus(scenario), ...reasonOf(scenario) });
  }
  return entries;
}

/** The status of a whole scenario, for scenarios that were skipped or failed outside their checks. */
function wholeStatus({ status }: ScenarioResult): Status {
  return status === "skipped" || status === "error" ? status : "passed";
}

function seenIn(item: ItemResult): Seen {
  if (isCheck(item)) return seenInCheck(item);
  return isAdmission(item) ? seenInAdmission(item) : seenInAsked(item);
}

function seenInAdmission({ status, got, findings, reason }: AdmissionResult): Seen {
  return {
    status,
    by: got.verdict,
    ...(got.texts.length > 0 && { body: got.texts.join("\n") }),
    ...(findings && { findings }),
    ...(reason === undefined ? {} : { reason }),
  };
}

export function seenInCheck({ status, got, findings, reason, enforcedMs }: CheckResult): Seen {
  return {
    status,
    answer: got.status,
    by: got.by,
    ...(got.by === "workload" || got.by === "nobody" ? {} : { body: got.body }),
    ...(got.details === undefined ? {} : { details: got.details }),
    ...(findings && { findings }),
    ...(reason === undefined ? {} : { reason }),
    // For a check that never agreed it is only the waiting time.
    ...(status === "passed" || status === "flaky" ? { enforcedMs } : {}),
  };
}

function seenInAsked({ status, got, findings, reason }: AskedResult): Seen {
  return {
    status,
    by: [...new Set(got)].sort().join(" and ") || "nobody",
    ...(findings && { findings }),
    ...(reason === undefined ? {} : { reason }),
  };
}

function reasonOf({ findings, reason }: ScenarioResult): Pick<Seen, "findings" | "reason"> {
  return { ...(findings && { findings }), ...(reason !== undefined && { reason }) };
}

function aspectsOf(before: Seen, after: Seen): Aspect[] {
  const differ = (aspect: Aspect): boolean => before[aspect] !== after[aspect];
  const both = (aspect: Aspect): boolean => before[aspect] !== undefined && after[aspect] !== undefined;
  return [
    ...(["answer", "by", "status"] as const).filter(differ),
    ...(["body", "details"] as const).filter((aspect) => both(aspect) && differ(aspect)),
  ];
}
