/** Writes what `meshproof check` finds as SARIF 2.1.0, which code scanning shows at the lines of the policies. */

import type { Checked, CheckedStep, CheckReport } from "../harness/model/check.ts";
import type { Position } from "../harness/model/scenario.ts";
import { nameWay } from "../harness/model/target.ts";
import { decidingObjects, describeChecked, describeNever, describeShadowed, describeUncovered } from "./check.ts";
import { escapeJson } from "./json.ts";

type Level = "error" | "warning" | "note";

const RULES = {
  "check-differs": ["error", "A request is answered otherwise than a scenario expects"],
  "check-undecided": ["note", "Without a cluster it is not known how a request is answered"],
  "never-matches": ["warning", "A value of a rule that no request can have"],
  "shadowed-rule": ["warning", "A rule that matches only what another rule decides as well"],
  "not-proved": ["note", "A part of a policy that no request of a scenario proves"],
} as const satisfies Readonly<Record<string, readonly [Level, string]>>;

/** @param version meshproof's */
export function formatSarif(report: CheckReport, version: string): string {
  const steps = report.scenarios.flatMap(({ id, steps }) => steps.map((step) => ({ id, step })));
  const results = [
    ...steps.flatMap(({ id, step }) => step.checks.flatMap((check) => resultOf(id, step, check))),
    ...report.neverMatches.map((one) => result("never-matches", describeNever(one), one.position)),
    ...report.shadowed.map((one) => result("shadowed-rule", describeShadowed(one), one.position)),
    ...report.coverage.parts
      .filter(({ decisive }) => decisive === 0)
      .map((one) => result("not-proved", describeUncovered(one), one.position)),
  ];
  const rules = Object.entries(RULES).map(([id, [level, text]]) => ({
    id,
    shortDescription: { text },
    defaultConfiguration: { level },
  }));
  const log = {
    $schema: "https://json.schemastore.org/sarif-2.1.0.json",
    version: "2.1.0",
    runs: [{ tool: { driver: { name: "meshproof", version, rules } }, columnKind: "utf16CodeUnits", results }],
  };
  return `${escapeJson(JSON.stringify(log, undefined, 2))}\n`;
}

/** At the policy that decides, where there is one, with the check beside it. */
function resultOf(id: string, step: CheckedStep, check: Checked): unknown[] {
  if (check.status === "agrees") return [];
  const [policy] = check.status === "differs" ? decidingObjects(step, check) : [];
  const { method, path, from, token } = check.request;
  const expected = check.expected.by === "nobody" ? "no answer" : `${check.expected.status} by ${check.expected.by}`;
  const asked = `${method} ${path} from ${from} to ${nameWay(check.request)}, ${token === "none" ? "no token" : `token ${token}`}`;
  const text = `${id}, "${step.name}": ${asked}: expected ${expected}. ${describeChecked(check)}`;
  return [
    result(
      check.status === "differs" ? "check-differs" : "check-undecided",
      text,
      policy?.position ?? check.position,
      policy && check.position,
    ),
  ];
}

function result(ruleId: keyof typeof RULES, text: string, at: Position, beside?: Position): unknown {
  return {
    ruleId,
    level: RULES[ruleId][0],
    message: { text: `${text.replace(/\.$/, "")}.` },
    locations: [locationOf(at)],
    ...(beside && { relatedLocations: [{ ...locationOf(beside), message: { text: "the check" } }] }),
  };
}

function locationOf({ file, line, column }: Position) {
  return {
    physicalLocation: {
      artifactLocation: { uri: file.split("/").map(encodeURIComponent).join("/") },
      region: { startLine: Math.max(line, 1), startColumn: Math.max(column, 1) },
    },
  };
}
