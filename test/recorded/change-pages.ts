/** What the pages besides a run's show, with hostile text and with thousands of rows: made by changing what was recorded. */

import type { Comparison } from "../../harness/model/comparison.ts";
import type { Matrix } from "../../harness/model/matrix.ts";
import type { ReproAnswer } from "../../harness/model/ticket.ts";
import type { Trend } from "../../harness/model/trend.ts";
import type { UpgradeResult } from "../../harness/model/upgrade.ts";
import { attacks, endlessText, hostileText, keysNotFetched } from "./change.ts";
import { comparison, matrix, MINIMIZED, ticket, trend, upgrade } from "./results.ts";

/** Words of meshproof itself, which no mesh writes. */
const OWN = new Set([
  ...["action", "keys", "verdict"],
  "aspects",
  "columns",
  "given",
  "history",
  "kind",
  "status",
  "strategy",
  "verb",
]);

/** Every text becomes the attacks. */
function attack<Data>(data: Data, key = ""): Data {
  if (typeof data === "string") return (OWN.has(key) ? data : hostileText) as Data;
  if (Array.isArray(data)) return data.map((item: unknown) => attack(item, key)) as Data;
  if (typeof data !== "object" || data === null) return data;
  return Object.fromEntries(Object.entries(data).map(([name, value]) => [name, attack(value, name)])) as Data;
}

/** Has a body of 10 MiB. */
export function hostileComparison(): Comparison {
  const plain = comparison();
  const one = <Row>([first]: readonly Row[], place: object): Row[] =>
    first === undefined ? [] : [{ ...attack(first), scenario: attacks.attribute, step: attacks.script, ...place }];
  const changes = one(plain.changes, {}).map((change) => ({
    ...change,
    before: { ...change.before, body: endlessText },
  }));
  return {
    ...plain,
    changes,
    added: one(plain.added, { check: "added" }),
    removed: one(plain.removed, { check: "removed" }),
    unseen: [hostileText],
  };
}

/** So many unexpected changes, twenty a scenario. */
export function manyChanges(count = 2000): Comparison {
  const plain = comparison();
  const first = plain.changes.find(({ known }) => known === undefined)!;
  const changes = Array.from({ length: count }, (_, index) => ({ ...first, ...placeOf(index) }));
  return { ...plain, changes, added: [], removed: [], unexpected: count };
}

export function hostileMatrix(): Matrix {
  const plain = matrix();
  const hostile = attack(plain);
  const one = <Row>(rows: readonly Row[], place: (index: number) => object): Row[] =>
    rows.slice(0, 4).map((row, index) => ({ ...row, ...place(index) }));
  return {
    ...hostile,
    tool: plain.tool,
    columns: plain.columns.map((column, index) => ({
      ...hostile.columns[index]!,
      versions: { ...column.versions, istio: hostileText, envoy: `${index} ${hostileText}` },
      runs: column.runs.map((run) => ({ ...run, run: hostileText })),
    })),
    rows: one(hostile.rows, (index) => ({ scenario: `${attacks.attribute}/${index}`, title: hostileText })).map(
      (row, index) => ({
        ...row,
        cells: row.cells.map((cell, column) => {
          const { state, before } = plain.rows[index]!.cells[column]!;
          const exception = { ...plain.rows[0]!, findings: [keysNotFetched(index === 0 ? endlessText : hostileText)] };
          const { position, findings } = exception;
          const exceptions = [
            { step: attacks.script, check: hostileText, position, status: "failed" as const, findings },
          ];
          return { ...cell, state: column === 0 ? ("failed" as const) : state, ...(before && { before }), exceptions };
        }),
      }),
    ),
    steps: hostile.steps.map((step) => ({
      ...step,
      changes: one(step.changes, (index) => ({ scenario: `${attacks.attribute}/${index}`, step: attacks.script })),
    })),
    leftOut: [hostileText],
  };
}

/** So many scenarios, one in five with a difference. */
export function manyRows(count = 2000): Matrix {
  const plain = matrix();
  const bad = plain.rows.find(({ cells }) => cells.some(({ state }) => state === "failed"))!;
  const good = plain.rows.find(({ cells }) => cells.every(({ state }) => state === "passed" || state === "not-run"))!;
  const rows = Array.from({ length: count }, (_, index) => {
    const scenario = `many-${Math.floor(index / 50)}/${index}`;
    return { ...(index % 5 === 0 ? bad : good), scenario };
  });
  return { ...plain, rows, steps: [] };
}

export function hostileTrend(): Trend {
  const { runs, failing } = trend();
  return {
    ...trend(),
    runs: runs.map((one) => {
      const { run, versions } = attack(one);
      return { ...one, run, versions: { ...one.versions, istio: hostileText, envoy: versions.envoy + one.run } };
    }),
    failing: failing.slice(0, 3).map((each, index) => ({
      ...attack(each),
      ...{ scenario: attacks.attribute, step: attacks.script, check: `${index} ${hostileText}` },
      reason: index === 0 ? endlessText : hostileText,
    })),
    leftOut: [hostileText],
  };
}

/** So many failing checks, twenty a scenario, each with a history of its own. */
export function manyFailing(count = 2000): Trend {
  const plain = trend();
  const [first] = plain.failing;
  const failing = Array.from({ length: count }, (_, index) => ({
    ...first!,
    ...placeOf(index),
    history: plain.runs.map((_run, night) => ((index + night) % 5 < 2 ? ("failed" as const) : ("passed" as const))),
  }));
  return { ...plain, failing };
}

/** Has a body of 10 MiB and a very long cause. */
export function hostileTicket(): ReproAnswer {
  const plain = ticket(MINIMIZED);
  const { matrix } = ticket();
  const [given] = matrix.rows;
  const few = {
    ...matrix,
    columns: matrix.columns.slice(0, 3),
    rows: [{ ...given!, cells: given!.cells.slice(0, 3) }],
  };
  const hostile = attack({ ...plain, matrix: few });
  const [row] = hostile.matrix.rows;
  const second = {
    request: attacks.attribute,
    cells: row!.cells.map((one) => ({ ...one, status: 0, by: "nobody" as const })),
  };
  const cells = row!.cells.map((one, index) => ({
    ...one,
    by: "authorization" as const,
    ...(index === 1 ? { body: endlessText } : {}),
  }));
  return {
    ...hostile,
    id: plain.id,
    startedAt: plain.startedAt,
    cause: { kind: "token-refused", status: 401, said: `${hostileText} ${"A".repeat(100_000)}` },
    notes: [keysNotFetched(hostileText)],
    verdict: { ...hostile.verdict, by: "authorization" },
    versions: { kubernetes: hostileText, [attacks.attribute]: "1" },
    matrix: { ...hostile.matrix, rows: [{ request: `GET /${hostileText}`, cells }, second] },
    applied: hostile.applied.slice(0, 1).map((object) => ({ ...object, findings: [keysNotFetched(hostileText)] })),
  };
}

export function hostileUpgrade(): UpgradeResult {
  const plain = upgrade();
  const failure = {
    phase: hostileText,
    fromMs: 0,
    toMs: 1,
    count: 1,
    status: 0,
    by: "nobody" as const,
    error: hostileText,
  };
  return {
    ...plain,
    command: hostileText,
    problems: [hostileText],
    phases: plain.phases.map((phase) => ({ ...phase, name: hostileText })),
    streams: plain.streams.map((stream) => ({
      ...stream,
      name: hostileText,
      problems: [
        { kind: "broken", words: hostileText },
        { kind: "phases", phases: [hostileText] },
        { kind: "gap", gap: { phases: [hostileText], fromMs: 0, forMs: 1, sent: 0 } },
        { kind: "few", right: 0, due: 1, phases: [hostileText] },
        { kind: "end", phase: hostileText, right: 0 },
        { kind: "clock", phase: hostileText, byMs: 1 },
      ],
      failures: [failure],
    })),
  };
}

function placeOf(index: number) {
  return {
    scenario: `jwt/many-${Math.floor(index / 20) + 1}`,
    step: "a matrix",
    check: `/p${index % 20} valid`,
    position: { file: `scenarios/jwt/many/scenario.yaml`, line: 20 + (index % 20), column: 11 },
  };
}
