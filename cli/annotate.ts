import { appendFile, readFile } from "node:fs/promises";
import type { Progress } from "../harness/progress.ts";
import type { RunResult } from "../harness/model/result.ts";
import { formatAnnotations } from "../reports/index.ts";
import { printCommand } from "./streams.ts";

/** On GitHub Actions, writes an annotation for each failed check. */
export function annotate(result: RunResult): void {
  if (process.env["GITHUB_ACTIONS"] !== "true") return;
  for (const line of formatAnnotations(result)) printCommand(line);
}

/**
 * On GitHub Actions, adds the Markdown summary to the job's page; a failure is reported, but not thrown.
 * @param markdown path of summary.md
 */
export async function addToStepSummary(markdown: string, progress: Progress): Promise<void> {
  const summary = process.env["GITHUB_STEP_SUMMARY"];
  if (process.env["GITHUB_ACTIONS"] !== "true" || summary === undefined || summary === "") return;
  try {
    await appendFile(summary, await readFile(markdown));
  } catch (error) {
    progress(`the summary could not be added to the job's page: ${(error as Error).message}`);
  }
}
