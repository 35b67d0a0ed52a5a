/** Formats the answers of `meshproof check` for a terminal and as JSON. */

import type {
  AppliedAt,
  Assumption,
  Checked,
  CheckedStep,
  CheckMissing,
  CheckReport,
  CoveragePart,
  NeverMatches,
  Shadowed,
} from "../harness/model/check.ts";
import type { Position } from "../harness/model/scenario.ts";
import { nameWay } from "../harness/model/target.ts";
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

/**
 * For a terminal: each step that does not agree as a whole, what the policies have that is not proved or cannot match, then the counts.
 * @param failUnder the coverage that is demanded, in percent
 */
export function formatCheck(report: CheckReport, failUnder = 0): string {
  const steps = report.scenarios.flatMap((scenario) => scenario.steps);
  const told = steps.filter(({ checks }) => checks.some(({ status }) => status !== "agrees"));
  const assumed = [...new Set(steps.flatMap((step) => step.assumed.map(describeAssumption)))];
  const { agrees, differs, undecided } = report.counts;
  return [
    ...told.flatMap((step) => [...formatStep(step), ""]),
    ...report.neverMatches.map((one) => `${placeOf(one)}  ${visible(describeNever(one))}`),
    ...report.shadowed.map((one) => `${placeOf(one)}  ${visible(describeShadowed(one))}`),
    ...formatCoverage(report, failUnder),
    ...assumed.map((text) => `taken for granted: ${text}`),
    `Evaluated by the config that istiod ${report.istio} makes of the objects${
      report.envoy === undefined ? "" : `, as Envoy ${report.envoy} reads it`
    }; no request was sent.`,
    `${plural(agrees, "check")} ${agrees === 1 ? "agrees" : "agree"}, ${differs} ${differs === 1 ? "differs" : "differ"}, ${undecided} undecided`,
  ].join("\n");
}

function placeOf({ position: { file, line } }: { readonly position: Position }): string {
  return `${file}:${line}`;
}

function formatCoverage({ coverage: { percent, parts } }: CheckReport, failUnder: number): string[] {
  if (parts.length === 0) return [];
  const open = parts.filter(({ decisive }) => decisive === 0);
  const proved = parts.length - open.length;
  const short = percent < failUnder ? `, and --fail-under demands ${failUnder} %` : "";
  return [
    ...open.map((part) => `${placeOf(part)}  ${visible(describeUncovered(part))}`),
    `coverage ${percent} %: ${proved} of ${plural(parts.length, "part")} of the policies ${proved === 1 ? "is" : "are"} decisive for a request${short}`,
  ];
}

/** What no request proves: a sentence without a full stop. */
export function describeUncovered({ kind, object, field }: CoveragePart): string {
  const where = `${nameObject(object)}, ${field}`;
  switch (kind) {
    case "rule":
      return `not proved: no check would be answered otherwise without this rule (${where})`;
    case "condition":
      return `not proved: no check fails this condition alone (${where})`;
    case "jwt-rule":
      return `not proved: no check sends a token that this rule accepts (${where})`;
    case "audiences":
      return `not proved: no check sends a token for another audience (${where})`;
  }
}

/** A rule that never decides: a sentence without a full stop. */
export function describeShadowed({ object, rule, by }: Shadowed): string {
  return `shadowed: for each request that rule ${rule} of ${nameObject(object)} matches, another one decides as well (${by.map(nameRule).join(", ")})`;
}

function nameRule(name: string): string {
  const [, namespace, policy, index] = /ns\[(.*)\]-policy\[(.*)\]-rule\[(\d+)\]$/.exec(name) ?? [];
  return index === undefined ? name : `rule ${index} of ${namespace}/${policy}`;
}

/** A value that no usual request has: a sentence without a full stop. */
export function describeNever({ object, field, value, because }: NeverMatches): string {
  const matches = LITERAL.has(because) ? "matches only itself" : "matches no request";
  return `${JSON.stringify(value)} ${matches}: ${NEVER[because]} (${nameObject(object)}, ${field})`;
}

/** Where a client can send the value as it is, although hardly any does. */
const LITERAL: ReadonlySet<NeverMatches["because"]> = new Set(["star-in-the-middle", "lower-case-method"]);

const NEVER: Readonly<Record<NeverMatches["because"], string>> = {
  "path-without-slash": "a path begins with /",
  "path-with-query": "the query of a request is not compared",
  "path-not-normalized": "proxies normalize the path before they compare it",
  "star-in-the-middle": "a * is a wildcard only at the beginning or at the end",
  "lower-case-method": "methods are in capital letters, and are compared as they are",
  "service-port": "proxies compare the port of the pod, and this is one of a Service alone",
  "spiffe-prefix": "principals are written without spiffe://",
  "request-principal-without-subject": "a request principal is the issuer, a slash and the subject",
  "claim-is-not-text": "the claim is neither text nor a list in any token that is compared",
};

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
  const wanted = expected.by === "nobody" ? (expected.noAnswer ?? "closed") : String(expected.status);
  if (got === undefined) return "?";
  if (status === "agrees") return wanted;
  if (got.by === "workload") return `admitted≠${wanted}`;
  const is = got.by === "nobody" ? (got.noAnswer ?? "closed") : String(got.status);
  return is === wanted ? `${is} by ${got.by}≠${expected.by}` : `${is}≠${wanted}`;
}

function formatReason(step: CheckedStep, [check, ...more]: [Checked, ...Checked[]]): string[] {
  const { from, method, path, token } = check.request;
  const policies = decidingObjects(step, check).map(
    (object) => `${nameObject(object)}, ${object.position.file}:${object.position.line}`,
  );
  const like = more.length === 0 ? "" : `, and ${plural(more.length, "check")} like it`;
  return [
    `  request   ${visible(`${method} ${path}`)} from ${from} to ${nameWay(check.request)}, ${token === "none" ? "no token" : `token ${token}`}${like}`,
    `  ${check.status === "differs" ? "config " : "missing"}   ${visible(describeChecked(check))}`,
    ...policies.map((policy, index) => `  ${index === 0 ? "policies" : "        "}  ${visible(policy)}`),
  ];
}

/** The objects that decide: those of the rules and tokens in the explanation. */
export function decidingObjects({ objects }: CheckedStep, { explanation }: Checked): AppliedAt[] {
  const named = new Set(
    explanation?.rules.flatMap(({ policy }) => (policy ? [`${policy.namespace}/${policy.name}`] : [])) ?? [],
  );
  const reason = explanation?.decision.reason.kind;
  return objects
    .filter(
      ({ kind, namespace, name }) =>
        (kind === "AuthorizationPolicy" && named.has(`${namespace}/${name}`)) ||
        (kind === "RequestAuthentication" && explanation?.tokensAsked === true) ||
        (kind === "PeerAuthentication" && reason === "connection-closed"),
    )
    .toSorted((a, b) => Number(decides(b, reason)) - Number(decides(a, reason)));
}

/** Whether a kind of object is the one that a denial is by. */
function decides({ kind }: AppliedAt, reason: string | undefined): boolean {
  return kind === (reason === "token-refused" ? "RequestAuthentication" : "AuthorizationPolicy");
}

/** Why it is answered so, or what is missing: a sentence. */
export function describeChecked({ missing, explanation }: Pick<Checked, "missing" | "explanation">): string {
  if (missing !== undefined) return `Undecided: ${describeCheckMissing(missing)}.`;
  if (explanation === undefined) return "The request goes through to the workload: no proxy is there to judge it.";
  return describeDecision(explanation);
}

function describeCheckMissing(missing: CheckMissing): string {
  switch (missing.kind) {
    case "object-not-evaluated":
      return `${nameObject(missing.object)} may change the way of the request, and only a mesh knows how`;
    case "ztunnel":
      return "the workload is in ambient mode, where ztunnel decides";
    case "waypoint":
      return "the request may pass a waypoint, which is not evaluated without a cluster";
    case "host-name":
      return "the cluster's DNS resolves the name that the client connects to, or does not";
    case "no-pod":
      return `no pod of ${missing.workload} is there`;
    case "pods-differ":
      return `the pods that may get the request judge it differently (${missing.pods.join(", ")})`;
    case "rejected-config":
      return "the step expects that proxies reject the config, which only a proxy knows";
    case "unsettled":
      return `istiod did not give the proxy ${missing.pod} the policies that hold there`;
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
