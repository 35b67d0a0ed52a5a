import assert from "node:assert/strict";
import { test } from "node:test";
import type { Scenario } from "../harness/model/scenario.ts";
import { describeScenarios } from "./scenarios-page.ts";

const scenarioOf = (id: string, more: Partial<Scenario> = {}): Scenario =>
  ({
    ...{ id, title: `${id} | holds`, source: "Istio; CVE-2021-39155 (ISTIO-SECURITY-2021-008)", level: "core" },
    ...{
      features: [],
      tags: [],
      position: { file: "", line: 1, column: 1 },
      workloads: [],
      steps: [],
      tokens: new Map(),
    },
    ...more,
  }) as unknown as Scenario;

const SCENARIOS = [scenarioOf("a/one"), scenarioOf("a/two", { istio: ">=1.30", level: "provisional" })];
const CHANGE = {
  ...{
    id: "c",
    sentence: "s",
    source: "release notes, CVE-2026-1",
    versions: { envoy: [{ since: "1.36.5" }, { since: "1.37.1" }] },
  },
  ...{ cells: [{ scenario: "a/o*" }], from: { answer: 200 }, to: { answer: 403 } },
};

test("a scenario is under each question that it answers, with versions and bulletins", () => {
  const page = describeScenarios(
    SCENARIOS,
    [
      { question: "Which one, or both?", scenarios: ["a/two", "a/*"] },
      { question: "And one?", scenarios: ["a/one"] },
    ],
    [CHANGE],
  );
  assert.match(page, /\n- \[Which one, or both\?\]\(#which-one-or-both\)\n/);
  const [, both = "", one = ""] = page.split(/^## .*$/m);
  assert.deepEqual(
    [both, one].map((text) => [...text.matchAll(/^\| \[(.*?)\]/gm)].map(([, id]) => id)),
    [["a/two", "a/one"], ["a/one"]],
  );
  assert.match(
    one,
    /\| a\/one \\\| holds \| 0 \| since Envoy 1\.36\.5, 1\.37\.1; CVE-2021-39155; ISTIO-SECURITY-2021-008; CVE-2026-1 \|/,
  );
  assert.match(both, /\| provisional: never seen; Istio >=1\.30; CVE-2021-39155/);
});

test("a scenario without a question, and a pattern without a scenario, are errors that name them", () => {
  const of =
    (...scenarios: string[]) =>
    () =>
      describeScenarios(SCENARIOS, [{ question: "q?", scenarios }], []);
  assert.throws(of("a/one"), /add these to a question that they answer: a\/two$/);
  assert.throws(of("a/*", "b/*"), /no scenario is named "b\/\*", under "q\?"$/);
});
