/** The generated files of the repository, with their content. */

import { readFile } from "node:fs/promises";
import path from "node:path";
import { parse } from "yaml";
import type * as z from "zod";
import { printConfigSchema } from "../harness/model/config-file.ts";
import { printScenarioSchema } from "../harness/model/scenario-file.ts";
import { comparisonFile } from "../harness/model/comparison.ts";
import { runResult } from "../harness/model/result.ts";
import { checkReport } from "../harness/model/check.ts";
import { printJsonSchema } from "../harness/model/schema.ts";
import { matrixFile } from "../harness/model/matrix.ts";
import { formatMatrixMarkdown } from "../reports/matrix/text.ts";
import { publishedMatrix } from "./published-matrix.ts";
import { againstFile } from "../harness/model/against.ts";
import { failure, OUTPUTS } from "../harness/model/outputs.ts";
import { reproFile } from "../harness/model/ticket.ts";
import { trendFile } from "../harness/model/trend.ts";
import { upgradeFile } from "../harness/model/upgrade.ts";
import { PROJECT, readScenarios, SCENARIOS } from "../cli/context.ts";
import { describeScenarios, questionsFile } from "./scenarios-page.ts";
import { readKnownChanges } from "../harness/compare/known.ts";
import { renderedFiles } from "../test/recorded/rendered.ts";

/** File name, relative to the project, to text. Names that end in `.gz` are compressed on the disk. */
export async function generatedFiles(): Promise<Map<string, string>> {
  const scenarios = await readScenarios(SCENARIOS, [], []);
  return new Map([
    ["schema/scenario.schema.json", printScenarioSchema()],
    ["schema/config.schema.json", printConfigSchema()],
    ["reports/results.schema.json", printJsonSchema(runResult)],
    ["reports/check.schema.json", printJsonSchema(checkReport)],
    ["reports/diff.schema.json", printJsonSchema(comparisonFile)],
    ["reports/matrix.schema.json", printJsonSchema(matrixFile)],
    ["reports/trend.schema.json", printJsonSchema(trendFile)],
    ["reports/repro.schema.json", printJsonSchema(reproFile)],
    ["reports/against.schema.json", printJsonSchema(againstFile)],
    ["reports/upgrade.schema.json", printJsonSchema(upgradeFile)],
    ...Object.entries({ ...OUTPUTS, error: failure }).map(
      ([name, schema]) => [`schema/output/${name}.schema.json`, printJsonSchema(schema)] as const,
    ),
    ["docs/matrix.md", describePublished()],
    ["docs/scenarios.md", describeScenarios(scenarios, await readQuestions(), await readKnownChanges(KNOWN_CHANGES))],
    ...renderedFiles(),
  ]);
}

const KNOWN_CHANGES = path.join(PROJECT, "harness/compare/known-changes.yaml");

async function readQuestions(): Promise<z.infer<typeof questionsFile>> {
  return questionsFile.parse(parse(await readFile(path.join(PROJECT, "docs/questions.yaml"), "utf8")));
}

/** The matrix in docs, of the recorded runs. */
function describePublished(): string {
  return formatMatrixMarkdown(publishedMatrix(), {
    title: `# Scenarios against versions\n\nWritten by \`npm run update\` from [matrix.json](matrix.json), which \`meshproof matrix\` wrote after runs with each of these versions on one\nmachine. ✅ passed, 📌 what differs is known, ❌ failed, ⚠️ flaky, ⏭️ skipped, · not run.`,
    linkTo: ({ position }) => `../${position.file}`,
  });
}
