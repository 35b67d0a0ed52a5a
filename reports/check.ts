/** Formats the answers of `meshproof check` for a terminal and as JSON. */

import type { Assumption, Checked, CheckedStep, CheckMissing, CheckReport } from "../harness/model/check.ts";
import { visible } from "../harness/safe/visible.ts";
import { describeDecision, describeMissing } from "./explanation.ts";
import { escapeJson } from "./json.ts";
import { alignColumns, plural } from "./text.ts";
import { nameObject } from "./words.ts";

/** As JSON, with sentences for people; control characters are written as `\u` escapes. */
export function formatCheckJson(report: CheckReport): string {
  const scenarios = report.scenarios.map((scenario) => ({
    ...scenario,
    steps: scenario.steps.map((step) => ({
      ...step,
      checks: step.checks.map((check) => ({ ...check, why: describeChecked(check) })),
    })),
  }));
  return `${escapeJson(JSON.stringify({ ...report, scenarios }, undefined, 2))}\n`;
}

/** For a terminal: each step that does not agree as a whole, then the counts. */
export function formatCheck(report: CheckReport): string {
  const steps = report.scenarios.flatMap((scenario) => scenario.steps);
  const told = steps.filter(({ checks }) => checks.some(({ status }) => status !== "agrees"));
  const assumed = [...new Set(steps.flatMap((step) => step.assumed.map(describeAssumption)))];
  const { agrees, differs, undecided } = report.counts;
  return [
    ...told.flatMap((step) => [...formatStep(step), ""]),
    ...assumed.map((text) => `taken for granted: ${text}`),
    `Evaluated by the config that istiod ${report.istio} makes of the objects; no request was sent.`,
    `${plural(agrees, "check")} ${agrees === 1 ? "agrees" : "agree"}, ${differs} ${differs === 1 ? "differs" : "differ"}, ${undecided} undecided`,
  ].join("\n");
}

function formatStep(step: CheckedStep): string[] {
  const { name, position, checks } = step;
  const count = (status: Checked["status"]): number => checks.filter((check) => check.status === status).length;
  const [differs, undecided] = [count("differs"), count("undecided")];
  const found = [
    ...(differs > 0 ? [`${differs} of ${plural(checks.length, "check")} ${differs === 1 ? "differs" : "differ"}`] : []),
    ...(undecided > 0 ? [`${undecided} undecided`] : []),
  ];
  const reasons = Map.groupBy(
    checks.filter(({ status }) => status !== "agrees"),
    (check) => `${check.status} ${describeChecked(check)}`,
  );
  return [
    `${position.file}:${position.line}  ${visible(name)}: ${found.join(", ")}`,
    ...drawAll(step).map((line) => `  ${line}`),
    ...[...reasons.values()].flatMap((group) => formatReason(step, group as [Checked, ...Checked[]])),
  ];
}

/** The matrices whole, with `got≠expected`, and `?` where it is undecided; then the single checks that do not agree. */
function drawAll({ matrices, checks }: CheckedStep): string[] {
  const tables = matrices.flatMap((matrix, index) => {
    const cells = new Map(
      checks.flatMap((check) =>
        check.cell?.matrix === index ? [[`${check.cell.row} ${check.cell.column}`, check] as const] : [],
      ),
    );
    return alignColumns([
      ["", ...matrix.columns.map((column) => visible(column))],
      ...matrix.rows.map((row, at) => [
        visible(row),
        ...matrix.columns.map((_, column) => {
          const check = cells.get(`${at} ${column}`);
          return check === undefined ? "" : cellOf(check);
        }),
      ]),
    ]);
  });
  const single = checks.filter(({ cell, status }) => cell === undefined && status !== "agrees");
  return [...tables, ...single.map((check) => `${visible(check.name)}: ${cellOf(check)}`)];
}

function cellOf({ status, got, expected }: Checked): string {
  const wanted = expected.by === "nobody" ? "closed" : String(expected.status);
  if (got === undefined) return "?";
  if (status === "agrees") return wanted;
  if (got.by === "workload") return `admitted≠${wanted}`;
  const is = got.by === "nobody" ? "closed" : String(got.status);
  return is === wanted ? `${is} by ${got.by}≠${expected.by}` : `${is}≠${wanted}`;
}

function formatReason(step: CheckedStep, [check, ...more]: [Checked, ...Checked[]]): string[] {
  const { from, to, method, path, token } = check.request;
  const policies = policiesOf(step, check);
  const like = more.length === 0 ? "" : `, and ${plural(more.length, "check")} like it`;
  return [
    `  request   ${visible(`${method} ${path}`)} from ${from} to ${to}, ${token === "none" ? "no token" : `token ${token}`}${like}`,
    `  ${check.status === "differs" ? "config " : "missing"}   ${visible(describeChecked(check))}`,
    ...policies.map((policy, index) => `  ${index === 0 ? "policies" : "        "}  ${visible(policy)}`),
  ];
}

/** The objects that decide, with file and line: those of the rules and tokens in the explanation. */
function policiesOf({ objects }: CheckedStep, { explanation }: Checked): string[] {
  const named = new Set(
    explanation?.rules.flatMap(({ policy }) => (policy ? [`${policy.namespace}/${policy.name}`] : [])) ?? [],
  );
  return objects
    .filter(
      ({ kind, namespace, name }) =>
        (kind === "AuthorizationPolicy" && named.has(`${namespace}/${name}`)) ||
        (kind === "RequestAuthentication" && explanation?.tokensAsked === true) ||
        (kind === "PeerAuthentication" && explanation?.decision.reason.kind === "connection-closed"),
    )
    .map((object) => `${nameObject(object)}, ${object.position.file}:${object.position.line}`);
}

/** Why it is answered so, or what is missing: a sentence. */
export function describeChecked({ missing, explanation }: Pick<Checked, "missing" | "explanation">): string {
  if (missing !== undefined) return `Undecided: ${describeCheckMissing(missing)}.`;
  if (explanation === undefined) return "The request goes through to the workload: no proxy is there to judge it.";
  return describeDecision(explanation.decision);
}

function describeCheckMissing(missing: CheckMissing): string {
  switch (missing.kind) {
    case "object-not-evaluated":
      return `${nameObject(missing.object)} may change the way of the request, and only a mesh knows how`;
    case "waypoint":
      return "the request may pass a waypoint, which is not evaluated without a cluster";
    case "no-pod":
      return `no pod of ${missing.workload} is there`;
    case "pods-differ":
      return `the pods that may get the request judge it differently (${missing.pods.join(", ")})`;
    case "rejected-config":
      return "the step expects that proxies reject the config, which only a proxy knows";
    case "unknown-destination":
      return `the gateway sends the request to ${missing.cluster === "" ? "nothing" : missing.cluster}, which is not known here`;
    case "annotation":
      return `the annotation ${missing.name} of the pod ${missing.pod} may lead requests past its sidecar`;
    default:
      return describeMissing(missing);
  }
}

function describeAssumption({ issuer }: Assumption): string {
  return `the keys of ${issuer} can be fetched`;
}
