import type { RunResult, Status } from "../harness/model/result.ts";
import { escapeJson } from "./json.ts";
import { outcomesOf, type Outcome } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import { formatFailure } from "./terminal.ts";
import { visible } from "../harness/safe/visible.ts";

/** CTRF's statuses. A flaky check has not passed, so it is failed, and marked as flaky too. */
const statusOf: Record<Status, "passed" | "failed" | "skipped" | "other"> = {
  passed: "passed",
  failed: "failed",
  flaky: "failed",
  error: "other",
  skipped: "skipped",
  "known-failure": "skipped",
};

/** The run in the Common Test Report Format (ctrf.io, spec version 1.0.0): one test per check, times in milliseconds. */
export function formatCtrf(result: RunResult): string {
  const prepared = prepare(result);
  const outcomes = prepared.scenarios.flatMap(outcomesOf);
  const tests = outcomes.map(testOf);
  const many = (status: string): number => tests.filter((test) => test.status === status).length;
  const [start, stop] = [Date.parse(prepared.startedAt), Date.parse(prepared.finishedAt)];
  const { kind, versions } = prepared.cluster;
  const interrupted = prepared.interrupted === true ? { interrupted: true } : {};
  const report = {
    reportFormat: "CTRF",
    specVersion: "1.0.0",
    timestamp: prepared.finishedAt,
    generatedBy: "meshproof",
    results: {
      tool: { name: prepared.tool.name, version: prepared.tool.version },
      summary: {
        tests: tests.length,
        passed: many("passed"),
        failed: many("failed"),
        pending: 0,
        skipped: many("skipped"),
        other: many("other"),
        flaky: outcomes.filter(({ status }) => status === "flaky").length,
        suites: prepared.scenarios.length,
        start,
        stop,
        duration: Math.max(0, stop - start),
      },
      tests,
      environment: {
        extra: { cluster: kind, ...versions, run: prepared.id, command: prepared.command, ...interrupted },
      },
    },
  };
  return `${escapeJson(JSON.stringify(report, undefined, 2))}\n`;
}

function testOf(outcome: Outcome): { readonly status: string } & Record<string, unknown> {
  const { scenario, step, check, status, position } = outcome;
  const reason = outcome.reason ?? scenario.reason;
  const bad = status === "failed" || status === "flaky" || status === "error";
  return {
    name: visible(outcome.name),
    status: statusOf[status],
    duration: Math.round(check?.got.totalMs ?? 0),
    suite: [scenario.id, ...(step === undefined ? [] : [visible(step.name)])],
    rawStatus: status,
    tags: scenario.tags,
    filePath: position.file,
    line: position.line,
    ...(status === "flaky" && { flaky: true }),
    ...(status !== "passed" && reason !== undefined && { message: visible(reason) }),
    ...(bad && { trace: formatFailure(outcome) }),
  };
}
