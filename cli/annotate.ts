import { appendFile, readFile } from "node:fs/promises";
import type { Progress } from "../harness/progress.ts";
import type { RunResult } from "../harness/model/result.ts";
import { formatAnnotations } from "../reports/index.ts";
import { printCommand } from "./streams.ts";

/** On GitHub Actions: an annotation at each failed check. */
export function annotate(result: RunResult): void {
  if (process.env["GITHUB_ACTIONS"] !== "true") return;
  for (const line of formatAnnotations(result)) printCommand(line);
}

/**
 * On GitHub Actions: the Markdown summary on the job's page; where it cannot be put there, that is told.
 * @param markdown path of summary.md
 */
export async function addToStepSummary(markdown: string, progress: Progress): Promise<void> {
  const summary = process.env["GITHUB_STEP_SUMMARY"];
  if (process.env["GITHUB_ACTIONS"] !== "true" || summary === undefined || summary === "") return;
  try {
    await appendFile(summary, await readFile(markdown));
  } catch (error) {
    progress(`the job's page does not have the summary: ${(error as Error).message}`);
  }
}
