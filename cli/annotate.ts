import { appendFile, readFile } from "node:fs/promises";
import type { RunResult } from "../harness/result.ts";
import { formatAnnotations } from "../reports/index.ts";

/**
 * On GitHub Actions: an annotation at each failed check, and the Markdown summary on the job's page.
 * @param markdown path of summary.md
 */
export async function annotate(result: RunResult, markdown: string): Promise<void> {
  if (process.env["GITHUB_ACTIONS"] !== "true") return;
  for (const line of formatAnnotations(result)) console.log(line);
  const summary = process.env["GITHUB_STEP_SUMMARY"];
  if (summary !== undefined && summary !== "") await appendFile(summary, await readFile(markdown));
}
