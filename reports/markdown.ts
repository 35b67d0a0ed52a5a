import type { RunResult, ScenarioResult } from "../harness/model/result.ts";
import { count, outcomesOf, worstFirst, type Outcome } from "./outcome.ts";
import { prepare } from "./prepare.ts";
import { formatGroups } from "./terminal.ts";
import { visible } from "../harness/safe/visible.ts";
import { formatDuration, plural } from "./text.ts";
import { notesOf } from "./describe.ts";

/** GitHub does not show a step summary above 1 MiB; this limit is well below. */
const failuresLimit = 400_000;

/** The run as Markdown for a CI step summary: the verdict, failures first, then a table of the scenarios. */
export function formatMarkdown(result: RunResult): string {
  const prepared = prepare(result);
  const scenarios = worstFirst(prepared.scenarios);
  const outcomes = scenarios.flatMap(outcomesOf);
  const { kind, versions } = prepared.cluster;
  return (
    [
      `## meshproof: ${verdict(prepared)}`,
      counts(prepared),
      ...notesOf(prepared).map((note) => `> ${escapeMarkdown(note)}`),
      ...failures(outcomes),
      table(scenarios),
      escapeMarkdown(
        `${kind} cluster, Kubernetes ${versions.kubernetes}, Istio ${versions.istio}, Envoy ${versions.envoy}; ${formatDuration(prepared.timing.totalMs)}, first verdict after ${formatDuration(prepared.timing.firstVerdictMs)}.`,
      ),
      `Repeat with\n\n${fence(prepared.command)}`,
    ].join("\n\n") + "\n"
  );
}

function verdict(result: RunResult): string {
  const { passed, failed, flaky, error } = result.counts;
  if (failed + flaky > 0) return `${plural(failed + flaky, "check")} did not behave as documented`;
  if (result.interrupted === true) return "interrupted, not everything was judged";
  if (error > 0) return `not judged, ${plural(error, "environment error")}`;
  return passed === 0 ? "nothing was checked" : "the mesh behaves as documented";
}

function counts(result: RunResult): string {
  const words = Object.entries(result.counts).filter(([, n]) => n > 0);
  return words.map(([status, n]) => `**${n}** ${status.replace("-", " ")}`).join(" · ");
}

function failures(outcomes: readonly Outcome[]): string[] {
  const bad = outcomes.filter(({ status }) => status === "failed" || status === "flaky" || status === "error");
  if (bad.length === 0) return [];
  const text: string[] = [];
  let length = 0;
  const blocks = formatGroups(bad, {});
  for (const block of blocks) {
    length += block.length;
    if (length > failuresLimit) break;
    text.push(fence(block));
  }
  const left = blocks.length - text.length;
  return [`### What differs`, ...text, ...(left > 0 ? [`${plural(left, "more failure")} in the report.`] : [])];
}

function table(scenarios: readonly ScenarioResult[]): string {
  const lines = scenarios.map((scenario) => {
    const { passed, failed, flaky, error, skipped, ...rest } = count(outcomesOf(scenario));
    const total = passed + failed + flaky + error + skipped + rest["known-failure"];
    const ratio = scenario.status === "skipped" ? "–" : `${passed}/${total}`;
    const why = scenario.status === "passed" ? "" : (scenario.reason ?? "");
    return `| ${marks[scenario.status]} | ${escapeMarkdown(scenario.id)} | ${escapeMarkdown(scenario.title)} | ${ratio} | ${escapeMarkdown(why)} |`;
  });
  return ["| | scenario | | passed | |", "| --- | --- | --- | --- | --- |", ...lines].join("\n");
}

const marks: Record<ScenarioResult["status"], string> = {
  passed: "✅ passed",
  failed: "❌ failed",
  flaky: "⚠️ flaky",
  error: "💥 error",
  skipped: "⏭️ skipped",
  "known-failure": "📌 known failure",
};

/** Escapes all characters with a meaning in Markdown or HTML. */
export function escapeMarkdown(text: string): string {
  return visible(text.slice(0, 500)).replace(/[\\`*_{}[\]<>()#!|~&@:$^]/g, "\\$&");
}

/** A fenced block whose fence is longer than any sequence of backticks in it (CommonMark, 4.5). */
function fence(text: string): string {
  const longest = Math.max(2, ...[...text.matchAll(/`+/g)].map(([run]) => run.length));
  const ticks = "`".repeat(longest + 1);
  return `${ticks}text\n${text}\n${ticks}`;
}
