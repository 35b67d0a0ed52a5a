/** Writes docs/scenarios.md: scenarios by the questions that they answer (docs/questions.yaml). */

import { matchesGlob } from "node:path";
import * as z from "zod";
import { countItems } from "../harness/model/items.ts";
import type { KnownChange } from "../harness/model/known.ts";
import { isVerified, type Scenario } from "../harness/model/scenario.ts";

export const questionsFile = z.array(
  z.strictObject({ question: z.string().min(1), scenarios: z.array(z.string().min(1)).min(1) }),
);
type Questions = z.infer<typeof questionsFile>;

/** @throws where a scenario answers no question, or a pattern names none */
export function describeScenarios(
  scenarios: readonly Scenario[],
  questions: Questions,
  known: readonly KnownChange[],
): string {
  for (const { question, scenarios: patterns } of questions)
    for (const pattern of patterns)
      if (!scenarios.some(({ id }) => matchesGlob(id, pattern)))
        throw new Error(`docs/questions.yaml: no scenario is named "${pattern}", under "${question}"`);
  const without = scenarios.filter(
    ({ id }) => !questions.some((one) => one.scenarios.some((pattern) => matchesGlob(id, pattern))),
  );
  if (without.length > 0)
    throw new Error(
      `docs/questions.yaml: add these to a question that they answer: ${without.map(({ id }) => id).join(", ")}`,
    );
  const sections = questions.map(({ question, scenarios: patterns }) => {
    // In the order in which the question names them.
    const members = new Set(patterns.flatMap((pattern) => scenarios.filter(({ id }) => matchesGlob(id, pattern))));
    return [
      `## ${question}`,
      "",
      "| scenario | what it promises | checks | versions and bulletins | source |",
      "| --- | --- | --- | --- | --- |",
      ...[...members].map((one) => describeRow(one, known)),
    ].join("\n");
  });
  const contents = questions.map(({ question }) => `- [${question}](#${anchorOf(question)})`).join("\n");
  return `# Scenarios

Written by \`npm run update\` from \`scenarios/\`: ${scenarios.filter(isVerified).length} scenarios by the questions that they answer, some under more than one, and ${scenarios.filter((one) => !isVerified(one)).length} that are provisional: written from documentation and never seen. "Since" names the versions
where an answer changed, as [known-changes.yaml](../harness/compare/known-changes.yaml) has it with its source.

${contents}

${sections.join("\n\n")}
`;
}

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
    .replaceAll(" ", "-");
}

function describeRow(scenario: Scenario, known: readonly KnownChange[]): string {
  const { id, title, source, steps } = scenario;
  const cells = [
    `[${id}](../scenarios/${id}/scenario.yaml)`,
    title,
    String(countItems(steps)),
    describeVersions(scenario, known).join("; "),
    source,
  ];
  return `| ${cells.map((cell) => cell.replaceAll("|", "\\|")).join(" | ")} |`;
}

const BULLETIN = /CVE-\d{4}-\d+|ISTIO-SECURITY-\d{4}-\d+/g;

function describeVersions({ id, istio, level, source }: Scenario, known: readonly KnownChange[]): string[] {
  const changes = known.filter(({ cells }) => cells.some((cell) => matchesGlob(id, cell.scenario)));
  const bulletins = [source, ...changes.map((change) => change.source)].flatMap((text) => text.match(BULLETIN) ?? []);
  const since = changes.map(({ versions }) => `since ${sinceOf(versions)}`);
  return [
    ...(isVerified({ level }) ? [] : ["provisional: never seen"]),
    ...(istio === undefined ? [] : [`Istio ${istio}`]),
    ...new Set([...since, ...bulletins]),
  ];
}

function sinceOf(versions: KnownChange["versions"]): string {
  return (["istio", "envoy"] as const)
    .flatMap((component) => {
      const bounds = versions[component];
      if (bounds === undefined) return [];
      const first = [bounds].flat().map((bound) => ("is" in bound ? bound.is : bound.since));
      return [`${component === "istio" ? "Istio" : "Envoy"} ${first.join(", ")}`];
    })
    .join(" and ");
}
