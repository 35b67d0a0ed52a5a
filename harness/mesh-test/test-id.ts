/** A test in the place of a scenario. */

import path from "node:path";
import type { Position, Scenario } from "../model/scenario.ts";

/** The name of a test in results: its file and its titles. */
export function idOfTest(titles: readonly string[]): string {
  const slug = (text: string): string =>
    text
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, "-")
      .replaceAll(/^-|-$/g, "");
  const [file = "", ...rest] = titles;
  return `${slug(file.replace(/\.[cm]?[jt]sx?$/, "")) || "tests"}/${slug(rest.join(" ")) || "test"}`;
}

/** A test as a scenario, without steps. */
export function scenarioOfTest(
  titles: readonly string[],
  { file, line, column }: Position,
  tags: readonly string[],
  workloads: readonly string[],
): Scenario {
  const shown = path.relative("", file);
  return withoutSteps(workloads, {
    ...{ id: idOfTest(titles), title: titles.at(-1) ?? "", source: shown },
    tags: tags.map((tag) => tag.replace(/^@/, "")),
    position: { file: shown, line, column },
  });
}

/** What all tests need of a cluster, as a scenario. */
export function groundOf(workloads: readonly string[]): Scenario {
  return withoutSteps(workloads, {
    ...{ id: "tests/ground", title: "What tests need", source: "meshproof/test", tags: [] },
    position: { file: "", line: 1, column: 1 },
  });
}

function withoutSteps(
  workloads: readonly string[],
  named: Pick<Scenario, "id" | "title" | "source" | "tags" | "position">,
): Scenario {
  return {
    ...{ ...named, level: "core", workloads, mesh: {}, tokens: {}, steps: [] },
    features: workloads.includes("outside-host") ? ["outside-host"] : [],
  };
}
