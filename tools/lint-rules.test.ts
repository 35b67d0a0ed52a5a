import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { ESLint } from "eslint";
import { PROJECT } from "../cli/context.ts";

/** The lines that a rule reports, for a text in place of a file of the project. */
async function complaints(rule: string, code: string): Promise<string[]> {
  const filePath = path.join(PROJECT, "harness/run/plan.ts");
  const [result] = await new ESLint({ cwd: PROJECT }).lintText(code, { filePath });
  const found = result?.messages.filter(({ ruleId }) => ruleId === rule) ?? [];
  return [...new Set(found.map(({ line }) => code.split("\n")[line - 1] ?? ""))];
}

test("what a run may have thousands of is not worked on all at once", async () => {
  const wrong = [
    "await Promise.all(scenarios.map(async (s) => work(s)));",
    "await Promise.all(scenarios.map(work));",
    "const later = steps.filter(() => true).map((step) => work(step));",
    "await Promise.allSettled(scenarios.flatMap((s) => s.steps.map((step) => work(step))));",
  ];
  const right = [
    "await Promise.all(proxies.map(async (p) => work(p)));",
    "scenarios.map((s) => s.id);",
    "steps.flatMap((s) => [s.name]);",
  ];
  const code = [
    'import type { Scenario, StepSpec } from "../model/scenario.ts";',
    "declare const scenarios: readonly Scenario[], steps: StepSpec[], proxies: { id: number }[];",
    "declare function work(one: object): Promise<number>;",
    ...right,
    ...wrong,
  ];
  assert.deepEqual(await complaints("meshproof/bounded-lanes", code.join("\n")), wrong);
});

test("no code reads back a sentence that was made of facts", async () => {
  const wrong = [
    'check.reason?.startsWith("denied");',
    '(check.reason ?? "").includes("denied");',
    "/denied by (.*)/.exec(step.reason!);",
    '/placeholder/.test(object.note ?? "");',
    'sentence(finding).match("denied");',
    'const [first] = formatExplanation(explanation).split("\\n");',
    'reach.why.includes("namespace");',
    "/^forged/.test(token.words);",
    "const kept = notes.filter((note) => note !== describeNote(shard));",
  ];
  const right = [
    'body.includes("Jwt");',
    'status.reason === "AlreadyExists";',
    'words.indexOf("repro");',
    "check.reason?.slice(0, 400);",
    'findings.some(({ kind }) => kind === "recorded");',
  ];
  assert.deepEqual(await complaints("meshproof/no-reading-back", [...right, ...wrong].join("\n")), wrong);
});

test("data is redacted before it is JSON", async () => {
  const wrong = [
    "tokens.redact(JSON.stringify(result));",
    "const text = redact(JSON.stringify(result, undefined, 1), known);",
  ];
  const right = ["JSON.stringify(redactData(result, known));", "JSON.stringify(redact(text));"];
  const code = [
    "declare const tokens: any, redact: any, redactData: any, result: object, known: string[];",
    ...right,
    ...wrong,
  ];
  assert.deepEqual(await complaints("no-restricted-syntax", code.join("\n")), wrong);
});
