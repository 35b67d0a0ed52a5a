/** Every report of the recorded results, as `npm run update` writes it below rendered/. */

import { existsSync, readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import type { RunResult } from "../../harness/model/result.ts";
import { formatAnnotations } from "../../reports/annotations.ts";
import { formatConformance } from "../../reports/conformance.ts";
import { formatCtrf } from "../../reports/ctrf.ts";
import { formatDiff, formatDiffJson, formatDiffMarkdown } from "../../reports/diff.ts";
import { formatDiffHtml } from "../../reports/html/diff.ts";
import { formatHtml } from "../../reports/html/document.ts";
import { formatMatrixHtml } from "../../reports/html/matrix-page.ts";
import { formatReproHtml } from "../../reports/html/repro.ts";
import { formatTrendHtml } from "../../reports/html/trend.ts";
import { formatJunit } from "../../reports/junit.ts";
import { formatMarkdown } from "../../reports/markdown.ts";
import { formatBadge } from "../../reports/matrix/badge.ts";
import {
  formatMatrix,
  formatMatrixComment,
  formatMatrixJson,
  formatMatrixMarkdown,
} from "../../reports/matrix/text.ts";
import { formatAnswer } from "../../reports/repro.ts";
import { formatSummary } from "../../reports/terminal.ts";
import { formatTrend, formatTrendJson } from "../../reports/trend.ts";
import { formatUpgrade, formatUpgradeHtml, formatUpgradeMarkdown } from "../../reports/upgrade.ts";
import { comparison, matrix, redRun, ticket, TICKETS, trend, upgrade, wholeRun } from "./results.ts";

/** File name, relative to the project, to text. Names that end in `.gz` are compressed on the disk. */
export function renderedFiles(): Map<string, string> {
  const [diff, trended, upgraded, crossed] = [comparison(), trend(), upgrade(), matrix()];
  const files = {
    ...runFiles("whole", wholeRun(), ".gz"),
    ...runFiles("red", redRun(), ""),
    "diff/terminal.txt": formatDiff(diff),
    "diff/diff.md": formatDiffMarkdown(diff),
    "diff/diff.json": formatDiffJson(diff),
    "diff/diff.html": withoutAssets(formatDiffHtml(diff)),
    "trend/terminal.txt": formatTrend(trended),
    "trend/trend.json": formatTrendJson(trended),
    "trend/trend.html": withoutAssets(formatTrendHtml(trended, ({ run }) => `${run}/report.html`)),
    "upgrade/terminal.txt": formatUpgrade(upgraded),
    "upgrade/upgrade.md": formatUpgradeMarkdown(upgraded),
    "upgrade/upgrade.html": withoutAssets(formatUpgradeHtml(upgraded)),
    "matrix/terminal.txt": formatMatrix(crossed),
    "matrix/matrix.md": formatMatrixMarkdown(crossed),
    "matrix/comment.md": formatMatrixComment(crossed),
    "matrix/matrix.json": formatMatrixJson(crossed),
    "matrix/badge.svg": formatBadge(crossed),
    "matrix/matrix.html": withoutAssets(formatMatrixHtml(crossed, ({ run }) => `${run}/report.html`)),
    ...Object.assign({}, ...TICKETS.map(ticketFiles)),
  } as Record<string, string>;
  const rendered = Object.entries(files).map(([name, text]) => [`test/recorded/rendered/${name}`, text] as const);
  const samples = ["terminal.txt", "conformance.yaml", "junit.xml"].map(
    (name) => [`docs/samples/${name}`, files[`red/${name}`] ?? ""] as const,
  );
  return new Map([...rendered, ...samples].map(([name, text]) => [name, `${text.trimEnd()}\n`]));
}

/** The text of a file that was written, or undefined where there is none. */
export function readRendered(file: string): string | undefined {
  if (!existsSync(file)) return undefined;
  const bytes = readFileSync(file);
  return (file.endsWith(".gz") ? gunzipSync(bytes) : bytes).toString();
}

function runFiles(name: string, result: RunResult, compressed: "" | ".gz"): Record<string, string> {
  return {
    [`${name}/terminal.txt`]: terminalOf(result),
    [`${name}/summary.md${compressed}`]: formatMarkdown(result),
    [`${name}/conformance.yaml`]: formatConformance(result),
    [`${name}/annotations.txt`]: formatAnnotations(result).join("\n"),
    [`${name}/junit.xml${compressed}`]: formatJunit(result),
    [`${name}/ctrf.json${compressed}`]: formatCtrf(result),
    [`${name}/report.html${compressed}`]: withoutAssets(formatHtml(result)),
  };
}

/** What a run prints at its end. */
export function terminalOf(result: RunResult): string {
  return formatSummary(result, { report: `results/${result.id}/report.html` });
}

function ticketFiles(name: (typeof TICKETS)[number]): Record<string, string> {
  const answer = ticket(name);
  return {
    [`ticket-${name}/terminal.txt`]: formatAnswer(answer),
    [`ticket-${name}/repro.html`]: withoutAssets(formatReproHtml(answer)),
  };
}

/** The style and the script are the same on every page, and have files of their own. */
function withoutAssets(page: string): string {
  return page
    .replace(/<meta http-equiv="Content-Security-Policy"[^>]*>/g, "")
    .replace(/(<style[^>]*>)[^]*?<\/style>/g, "$1</style>")
    .replace(/(<script>)[^]*?<\/script>/g, "$1</script>");
}
