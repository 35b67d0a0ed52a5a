/** Runs the run-steps of a composite action as GitHub's runner does: inputs, outputs, conditions, files for outputs and the summary. */

import { mkdir, readFile, writeFile } from "node:fs/promises";
import path from "node:path";
import { execa } from "execa";
import { parse } from "yaml";

interface Step {
  readonly name: string;
  readonly id?: string;
  readonly if?: string;
  readonly uses?: string;
  readonly with?: Readonly<Record<string, unknown>>;
  readonly run?: string;
  readonly shell?: string;
  readonly env?: Readonly<Record<string, string>>;
  readonly "working-directory"?: string;
}

export interface Action {
  readonly inputs: Readonly<Record<string, { readonly description: string; readonly default?: string }>>;
  readonly outputs: Readonly<Record<string, { readonly value: string }>>;
  readonly runs: { readonly using: string; readonly steps: readonly Step[] };
}

export async function readAction(file: string): Promise<Action> {
  return parse(await readFile(file, "utf8")) as Action;
}

interface Job {
  /** The user's checkout. */
  readonly repository: string;
  /** A folder for RUNNER_TEMP and the files of the runner. */
  readonly temp: string;
  readonly inputs: Readonly<Record<string, string>>;
  readonly env?: Readonly<Record<string, string>>;
  /** `github.event_name` and the like. */
  readonly github?: Readonly<Record<string, string>>;
  /** Called for each step of another action, with what it gets. */
  readonly uses?: (step: Step, given: Readonly<Record<string, string>>) => void;
}

export interface Ended {
  /** The names of the steps that ran, in order. */
  readonly ran: string[];
  readonly failed: boolean;
  readonly outputs: Readonly<Record<string, string>>;
  /** What all steps printed. */
  readonly log: string;
  readonly summary: string;
}

/** @throws for an input that the action does not have, and an expression that this runner does not know */
export async function runAction({ inputs, outputs, runs }: Action, job: Job): Promise<Ended> {
  for (const name of Object.keys(job.inputs))
    if (!Object.hasOwn(inputs, name)) throw new Error(`the action has no input ${name}`);
  const known = new Map<string, string>([
    ["runner.os", "Linux"],
    ["github.token", "a-token"],
  ]);
  for (const [name, value] of Object.entries(job.github ?? {})) known.set(`github.${name}`, value);
  const evaluate = (expression: string): string => valueOf(expression, known);
  const fill = (text: string): string =>
    text.replace(/\$\{\{ *(.*?) *\}\}/g, (_, expression: string) => evaluate(expression));
  for (const [name, { default: usual = "" }] of Object.entries(inputs))
    known.set(`inputs.${name}`, job.inputs[name] ?? fill(String(usual)));
  await mkdir(job.temp, { recursive: true });
  const summaryFile = path.join(job.temp, "summary.md");
  await writeFile(summaryFile, "");
  const ended = { ran: [] as string[], failed: false, log: "" };
  for (const step of runs.steps) {
    const condition = step.if ?? "true";
    if (ended.failed && !condition.includes("always()")) continue;
    if (!isTrue(condition, evaluate)) continue;
    ended.ran.push(step.name);
    if (step.run === undefined) {
      const given = Object.entries(step.with ?? {}).map(([name, value]) => [name, fill(String(value))] as const);
      job.uses?.(step, Object.fromEntries(given));
      continue;
    }
    const outputFile = path.join(job.temp, "output.txt");
    await writeFile(outputFile, "");
    // As GitHub runs `shell: bash`.
    const { all, exitCode } = await execa("bash", ["--noprofile", "--norc", "-eo", "pipefail", "-c", step.run], {
      ...{
        cwd: path.resolve(job.repository, fill(step["working-directory"] ?? ".")),
        reject: false,
        all: true,
        stdin: "ignore",
      },
      env: {
        ...{
          GITHUB_ACTIONS: "true",
          GITHUB_OUTPUT: outputFile,
          GITHUB_STEP_SUMMARY: summaryFile,
          RUNNER_TEMP: job.temp,
        },
        ...job.env,
        ...Object.fromEntries(Object.entries(step.env ?? {}).map(([name, value]) => [name, fill(value)])),
      },
    });
    ended.log += `── ${step.name}\n${all}\n`;
    if (exitCode !== 0) ended.failed = true;
    for (const line of (await readFile(outputFile, "utf8")).split("\n").filter((each) => each !== ""))
      known.set(`steps.${step.id}.outputs.${line.slice(0, line.indexOf("="))}`, line.slice(line.indexOf("=") + 1));
  }
  return {
    ...ended,
    outputs: Object.fromEntries(Object.entries(outputs).map(([name, { value }]) => [name, fill(value)])),
    summary: await readFile(summaryFile, "utf8"),
  };
}

/** `inputs.istio`, `'text'`; what no step has set is empty, as on GitHub. */
function valueOf(expression: string, known: ReadonlyMap<string, string>): string {
  if (/^'[^']*'$/.test(expression)) return expression.slice(1, -1);
  if (/^hashFiles\('[^']+'\)$/.test(expression)) return "0123";
  if (!/^(inputs|github|runner|steps)\.[\w.-]+$/.test(expression))
    throw new Error(`this runner does not know ${expression}`);
  const value = known.get(expression);
  if (value === undefined && /^(inputs|runner)\./.test(expression)) throw new Error(`${expression} does not exist`);
  return value ?? "";
}

/** Comparisons that are joined by && or by ||. */
function isTrue(condition: string, evaluate: (expression: string) => string): boolean {
  if (condition.includes("||")) return condition.split("||").some((part) => isTrue(part, evaluate));
  return condition.split("&&").every((part) => {
    const text = part.trim();
    if (text === "always()" || text === "true") return true;
    const [left, operator, right] = text.split(/ (==|!=) /);
    if (left === undefined || operator === undefined || right === undefined)
      throw new Error(`this runner does not know ${condition}`);
    return (evaluate(left) === evaluate(right)) === (operator === "==");
  });
}
