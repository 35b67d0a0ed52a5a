import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { join, relative, sep } from "node:path";
import type { Comparison } from "../harness/model/comparison.ts";
import { MeshproofError } from "../harness/model/errors.ts";
import type { RunResult } from "../harness/model/result.ts";
import type { Trend, TrendRun } from "../harness/model/trend.ts";
import { formatConformance } from "./conformance.ts";
import { formatCtrf } from "./ctrf.ts";
import { formatDiffJson, formatDiffMarkdown } from "./diff.ts";
import { formatDiffHtml } from "./html/diff.ts";
import { formatHtml } from "./html/document.ts";
import { formatJson } from "./json.ts";
import { formatJunit } from "./junit.ts";
import { formatMarkdown } from "./markdown.ts";
import { formatTrendHtml } from "./html/trend.ts";
import { formatTrendJson } from "./trend.ts";

export { diffExitCode, formatDiff, formatDiffJson, formatDiffMarkdown } from "./diff.ts";
export { formatAnnotations } from "./annotations.ts";
export { exitCode } from "./outcome.ts";
export { pointLatest } from "./latest.ts";
export { readResults } from "./read.ts";
export { formatTrend, formatTrendJson } from "./trend.ts";
export { formatSummary, type TerminalOptions } from "./terminal.ts";

/** File name of a run's page. */
export const REPORT = "report.html";

/** Paths of the reports, absolute or relative like the given folder. */
export interface ReportPaths {
  readonly html: string;
  readonly json: string;
  readonly junit: string;
  readonly conformance: string;
  readonly markdown: string;
  readonly ctrf: string;
}

/** Writes every report of a run into a folder (created if missing), each atomically: a temporary file, then a rename. */
export async function writeReports(result: RunResult, dir: string): Promise<ReportPaths> {
  const write = await writerIn(dir);
  return {
    html: await write(REPORT, formatHtml(result)),
    json: await write("results.json", formatJson(result)),
    junit: await write("junit.xml", formatJunit(result)),
    conformance: await write("conformance.yaml", formatConformance(result)),
    markdown: await write("summary.md", formatMarkdown(result)),
    ctrf: await write("ctrf.json", formatCtrf(result)),
  };
}

/** Writes a comparison as diff.html, diff.md and diff.json. */
export async function writeDiff(comparison: Comparison, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("diff.md", formatDiffMarkdown(comparison));
  await write("diff.json", formatDiffJson(comparison));
  return { html: await write("diff.html", formatDiffHtml(comparison)) };
}

/** Writes a trend as trend.html and trend.json. */
export async function writeTrend(trend: Trend, dir: string): Promise<{ readonly html: string }> {
  const write = await writerIn(dir);
  await write("trend.json", formatTrendJson(trend));
  const linkTo = ({ folder }: TrendRun): string =>
    [...relative(dir, folder).split(sep), "report.html"].map(encodeURIComponent).join("/");
  return { html: await write("trend.html", formatTrendHtml(trend, linkTo)) };
}

/**
 * Writes files into a folder atomically, and returns their paths.
 * @throws MeshproofError ERR_RESULTS if that fails; no partial file is left then
 */
export async function writerIn(dir: string): Promise<(name: string, text: string) => Promise<string>> {
  await mkdir(dir, { recursive: true }).catch((cause: unknown) => {
    throw unwritable(dir, cause);
  });
  return async (name, text) => {
    const path = join(dir, name);
    const temporary = `${path}.${process.pid}.tmp`;
    try {
      await writeFile(temporary, text);
      await rename(temporary, path);
    } catch (cause) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw unwritable(path, cause);
    }
    return path;
  };
}

/** Larger than a directory entry, so that writing it fails on a full disk. */
const TRIAL = " ".repeat(64 * 1024);

/**
 * Tests before a run whether results can be written into a folder, which is created if missing.
 * @throws MeshproofError ERR_RESULTS
 */
export async function tryFolder(dir: string): Promise<void> {
  const write = await writerIn(dir);
  await rm(await write(`.try-${process.pid}`, TRIAL), { force: true });
}

function unwritable(path: string, cause: unknown): MeshproofError {
  return new MeshproofError("ERR_RESULTS", `${path} cannot be written: ${(cause as Error).message}`, {
    hint: "free disk space, or name another folder: --results FOLDER",
    cause,
  });
}
