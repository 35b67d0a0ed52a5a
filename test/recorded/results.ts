/**
 * Results of real runs, as `npm run record` wrote them: what reports and docs are tested with. A test that needs another result
 * changes one of these.
 */

import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { gunzipSync } from "node:zlib";
import { compareRuns } from "../../harness/compare/compare.ts";
import { parseKnownChanges } from "../../harness/compare/known.ts";
import { againstFile, type Against } from "../../harness/model/against.ts";
import type { Comparison } from "../../harness/model/comparison.ts";
import type { KnownChange } from "../../harness/model/known.ts";
import type { RunResult } from "../../harness/model/result.ts";
import { reproFile, type ReproAnswer } from "../../harness/model/ticket.ts";
import type { Trend } from "../../harness/model/trend.ts";
import { findMatrix } from "../../harness/matrix/matrix.ts";
import type { Matrix } from "../../harness/model/matrix.ts";
import { findTrend } from "../../harness/trend/trend.ts";
import { upgradeResult, type ResultOf1 } from "../../reports/version-1.ts";
import { upgradeFile, type UpgradeResult } from "../../harness/model/upgrade.ts";

export const RECORDED = import.meta.dirname;

/** The health check once more, with `--minimize`. */
export const MINIMIZED = "health-check-minimized";

/** The tickets in docs/examples/tickets. */
export const TICKETS = [
  ...(["audience", "health-check", "jwks-not-fetched", "multiple-slashes", "selector"] as const),
  MINIMIZED,
] as const;
export type TicketName = (typeof TICKETS)[number];

/** What is recorded, by the file's name without its ending. */
export type RecordedRun = "whole" | "red" | "upgrade-from" | "upgrade-to";

/** All scenarios on an embedded cluster, all passed. */
export const wholeRun = (): RunResult => read("whole");

/** Scenarios that were broken on purpose (broken.ts): every status occurs. */
export const redRun = (): RunResult => read("red");

/** The runs before and after the upgrade: Istio 1.30 with Envoy 1.36, then Istio 1.31 with Envoy 1.40. */
export const upgradeRun = (side: "from" | "to"): RunResult => read(`upgrade-${side}`);

export const upgrade = (): UpgradeResult => upgradeFile.parse(read("upgrade"));

export const ticket = (name: TicketName = "health-check"): ReproAnswer => reproFile.parse(read(`ticket-${name}`));

/** A ticket with two versions: one gives the recorded answer, the other lets the request through; a third could not be started. */
export function against(): Against {
  const { matrix, differences: _, ...answer } = ticket("audience");
  const rows = matrix.rows.map(({ request, cells }) => ({
    request,
    cells: cells.map(({ status, by }) => ({ status, by })),
  }));
  const { versions, reproduced, verdict, cause, expected } = answer;
  const recorded = { versions, reproduced, verdict, cause, ...(expected && { expected }), open: [], rows };
  const through = { status: 200, by: "workload" } as const;
  const column = matrix.columns.indexOf(matrix.given);
  const changed = {
    ...recorded,
    versions: { ...versions, istio: "1.30.1", envoy: "1.36.4" },
    verdict: { ...through, body: "" },
    ...(expected && { expected: { ...expected, met: true } }),
    cause: { kind: "answer", answer: through, lost: false } as const,
    rows: rows.map((row) => ({ ...row, cells: row.cells.map((cell, index) => (index === column ? through : cell)) })),
  };
  const { id, tool, startedAt, command, request, ticket: name } = answer;
  return againstFile.parse({
    ...{ schemaVersion: 1, id, tool, startedAt, command, request, ticket: name },
    ...{ columns: matrix.columns, given: matrix.given },
    versions: [
      { asked: "1.30", folder: "1.30", answer: changed },
      { asked: "1.31", folder: "1.31", answer: recorded },
      {
        asked: "1.29.2",
        folder: "1.29.2",
        problem: { code: "ERR_DOWNLOAD", message: "the registry cannot be reached" },
      },
    ],
  });
}

/** The old mesh against the broken scenarios on the new one: unexpected and known changes, checks that only one side has. */
export function comparison(): Comparison {
  return compareRuns(upgradeRun("from"), redRun(), knownChanges());
}

function knownChanges(): KnownChange[] {
  const file = path.join(RECORDED, "../../harness/compare/known-changes.yaml");
  return parseKnownChanges(readFileSync(file, "utf8"), file);
}

/** The old mesh, the new one before and after the scenarios were broken, and a version that could not be run: every state occurs. */
export function matrix(): Matrix {
  const runs = [upgradeRun("from"), upgradeRun("to"), redRun()];
  return findMatrix({
    runs: runs.map((result) => ({ folder: `results/${result.id}`, result })),
    missing: [
      {
        asked: "1.29.2",
        istio: "1.29.2",
        problem: { code: "ERR_COMPONENT", message: "the registry cannot be reached" },
      },
    ],
    known: knownChanges(),
    leftOut: ["results/20261118-021500-bad0/results.json is not JSON: Unexpected end of JSON input"],
    version: runs[0]!.tool.version,
  });
}

/** Two weeks of nights: the old mesh, the new one, then the broken scenarios. */
export function trend(): Trend {
  const nights = Array.from({ length: 14 }, (_, night) => {
    const result = night < 6 ? upgradeRun("from") : night < 10 ? upgradeRun("to") : redRun();
    const day = 14 + night;
    const id = `202611${day}-020000-${(0xa000 + night * 0x111).toString(16)}`;
    return { folder: `results/${id}`, result: { ...result, id, startedAt: `2026-11-${day}T02:00:00.000Z` } };
  });
  return findTrend(nights, ["results/20261118-021500-bad0/results.json is not JSON: Unexpected end of JSON input"]);
}

function read<Data>(name: string): Data {
  const file = path.join(RECORDED, `${name}.json`);
  const text = existsSync(file) ? readFileSync(file) : gunzipSync(readFileSync(`${file}.gz`));
  const data = JSON.parse(text.toString()) as Data & { schemaVersion: number; scenarios?: unknown };
  return data.schemaVersion === 1 && data.scenarios !== undefined
    ? (upgradeResult(data as unknown as ResultOf1) as Data)
    : data;
}
