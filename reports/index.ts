import { mkdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { RunResult } from "../harness/result.ts";
import { formatConformance } from "./conformance.ts";
import { formatHtml } from "./html/document.ts";
import { formatJson } from "./json.ts";
import { formatJunit } from "./junit.ts";
import { formatMarkdown } from "./markdown.ts";

export { exitCode } from "./outcome.ts";
export { formatSummary, type TerminalOptions } from "./terminal.ts";

/** Absolute or relative as the folder was given. */
export interface ReportPaths {
  readonly html: string;
  readonly json: string;
  readonly junit: string;
  readonly conformance: string;
  readonly markdown: string;
}

/** Writes every report of a run into a folder (made if missing), each whole or not at all: a temporary file, then a rename. */
export async function writeReports(result: RunResult, dir: string): Promise<ReportPaths> {
  await mkdir(dir, { recursive: true });
  const write = async (name: string, text: string): Promise<string> => {
    const path = join(dir, name);
    const temporary = `${path}.${process.pid}.tmp`;
    await writeFile(temporary, text);
    await rename(temporary, path);
    return path;
  };
  return {
    html: await write("report.html", formatHtml(result)),
    json: await write("results.json", formatJson(result)),
    junit: await write("junit.xml", formatJunit(result)),
    conformance: await write("conformance.yaml", formatConformance(result)),
    markdown: await write("summary.md", formatMarkdown(result)),
  };
}
