import { formatConformance } from "./conformance.ts";
import { everyStatus } from "./fixture.ts";
import { formatJunit } from "./junit.ts";
import { formatSummary } from "./terminal.ts";

/** What stands in docs/samples: file name, relative to the project, to text. Made from a fixture, kept fresh by a test. */
export function sampleFiles(): Map<string, string> {
  const result = everyStatus();
  return new Map([
    ["docs/samples/terminal.txt", `${formatSummary(result, { report: `results/${result.id}/report.html` })}\n`],
    ["docs/samples/conformance.yaml", formatConformance(result)],
    ["docs/samples/junit.xml", formatJunit(result)],
  ]);
}
