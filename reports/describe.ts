/** Describes expectations and answers in English. The text may be hostile: each format escapes it. */

import {
  unfinishedOf,
  type AdmissionResult,
  type AppliedObject,
  type AskedResult,
  type CheckResult,
  type RunResult,
  type ScenarioResult,
} from "../harness/model/result.ts";
import type { MeshSetting } from "../harness/model/cluster.ts";
import type { Explanation } from "../harness/model/explanation.ts";
import type { Finding } from "../harness/model/finding.ts";
import { isAnyAnswer, type NoAnswer } from "../harness/model/scenario.ts";
import { isGateway, nameWay } from "../harness/model/target.ts";
import { describeHeadline, formatExplanation, type Seen } from "./explanation.ts";
import type { PolicyInForce } from "./outcome.ts";
import { formatDuration, plural } from "./text.ts";
import { describeNote, describeSilence, describeTokens, nameObject, sentences } from "./words.ts";

/** `401 from authentication`, `200 from httpbin with JSON key "keys"`. */
export function describeExpected(check: CheckResult): string {
  const { by, body, headers, jsonKey, details, policy, received } = check.expected;
  const more = [
    ...(body === undefined ? [] : [describeWantedBody(body)]),
    ...Object.entries(headers ?? {}).map(([name, wanted]) => describeWantedHeader(name, wanted)),
    ...(jsonKey === undefined ? [] : [`JSON key ${quote(jsonKey)}`]),
    ...(details === undefined ? [] : [`${quote(details)} in the proxy's details`]),
    ...(policy === undefined ? [] : [`a match of AuthorizationPolicy ${policy}`]),
    ...Object.entries(received?.headers ?? {}).map(
      ([name, value]) => `header ${name} ${JSON.stringify(value)} received`,
    ),
    ...(received?.path === undefined ? [] : [`path ${quote(received.path)} received`]),
  ];
  if (by === "nobody") return describeSilence(check.expected.noAnswer ?? "closed");
  const status = isAnyAnswer(check.expected) ? "any answer" : nameExpectedStatus(check.expected);
  return `${status} from ${describeAnswerer(check, by)}${more.length === 0 ? "" : ` with ${more.join(" and ")}`}`;
}

/** `200 from httpbin`, `401 from authentication ("Jwt is missing")`, `no answer: connection refused`. */
export function describeGot(check: CheckResult): string {
  const { got, expected } = check;
  if (got.status === 0 || got.by === "nobody") {
    const silence = describeSilence(got.noAnswer);
    return got.error ? `${silence}: ${firstLine(got.error)}` : silence;
  }
  // A workload's body is shown only if the check compares it.
  const asked = expected.body !== undefined || expected.jsonKey !== undefined;
  const telling = got.by !== "workload" || (asked && got.status === expected.status);
  const body = telling ? firstLine(got.body) : "";
  return `${nameStatus(got)} from ${describeAnswerer(check, got.by)}${body === "" ? "" : ` (${quote(body)})`}`;
}

/** The status of an answer as a cell shows it, or what came in its place. */
export function nameStatus({
  status,
  grpc,
  noAnswer = "none",
}: Pick<CheckResult["got"], "status" | "grpc"> & { readonly noAnswer?: NoAnswer | "none" | undefined }): string {
  if (status !== 0) return grpc === undefined ? String(status) : `grpc ${grpc}`;
  return noAnswer;
}

/** The same of an expectation. */
export function nameExpectedStatus(expected: CheckResult["expected"]): string {
  const { status, grpc, noAnswer = "closed" } = expected;
  return isAnyAnswer(expected) ? "allowed" : nameStatus({ status, ...(grpc !== undefined && { grpc }), noAnswer });
}

function describeWantedBody(body: NonNullable<CheckResult["expected"]["body"]>): string {
  if (typeof body === "string") return `${quote(body)} in its body`;
  return "is" in body ? `the body ${quote(body.is)}` : `a body that matches ${quote(body.matches)}`;
}

function describeWantedHeader(name: string, wanted: NonNullable<CheckResult["expected"]["headers"]>[string]): string {
  if (wanted === null || wanted === false) return `no header ${name}`;
  if (wanted === true) return `the header ${name}`;
  return typeof wanted === "string"
    ? `header ${name}: ${wanted}`
    : `header ${name} that matches ${quote(wanted.matches)}`;
}

/** Who answered: a workload with its name, or without one behind a gateway, where it may be any workload. */
export function describeAnswerer(check: CheckResult, by: string): string {
  if (by === "proxy") return "the proxy";
  if (by !== "workload") return by;
  return isGateway(check.request.to) ? "the workload" : check.request.to;
}

/** `GET /headers from sleep to httpbin, token forged (iss …)`, with the waypoint on the way. */
export function describeRequest(check: CheckResult): string {
  const { method, from } = check.request;
  const token = check.request.tokens.length === 0 ? "" : "token ";
  return `${method} ${targetOf(check.request)} from ${from} to ${nameWay(check.request)}, ${token}${describeTokens(check.request.tokens)}`;
}

/** Only the names of the tokens: `forged`. */
export function nameTokens({ request: { tokens } }: CheckResult): string {
  return tokens.map(({ name }) => name).join(" and ") || "no token";
}

/** The request target as sent. The URL is not parsed, which would normalise odd paths that a scenario sends on purpose. */
export function targetOf({ url, requestTarget }: Pick<CheckResult["request"], "url" | "requestTarget">): string {
  if (requestTarget !== undefined) return requestTarget;
  return url.replace(/^[a-z]+:\/\/[^/?#]*/i, "") || "/";
}

/** The explanation of a check's request by the proxy's config. */
export function describeConfig(check: CheckResult, explanation: Explanation): string {
  return formatExplanation(explanation, seenIn(check));
}

/** Its first line; undefined if there is none. */
export function describeConfigInShort(check: CheckResult): string | undefined {
  return check.explanation && describeHeadline(check.explanation, seenIn(check));
}

function seenIn({ expected, got }: CheckResult): Seen {
  return { expected: expected.status, got };
}

/** `RequestAuthentication foo/require-jwt`. */
export function describeObject(object: AppliedObject): string {
  return nameObject(object);
}

/**
 * `in force at the proxy since 0.4 s`, `in no proxy: RequestAuthentication foo/x selects none of the pods…`, or `applied` for a kind
 * that leaves no trace in a proxy.
 * @param told findings that the report shows elsewhere
 */
export function describeForce(object: AppliedObject, told: readonly Finding[] = []): string {
  const { findings = [] } = object;
  const known = new Set(told.map((finding) => JSON.stringify(finding)));
  const untold = findings.filter((finding) => !known.has(JSON.stringify(finding)));
  const gone = object.verb === "delete";
  const where = gone ? `gone from ${describeProxies(object)} after` : `in force at ${describeProxies(object)} since`;
  const seen = object.inForceMs === undefined ? undefined : `${where} ${formatDuration(object.inForceMs)}`;
  if (findings.length === 0) return seen ?? (gone ? "deleted" : "applied");
  const state = seen ?? (object.proxies.length === 0 && !gone ? "in no proxy" : "not everywhere");
  return untold.length === 0 ? state : `${state}: ${sentences(untold)}`;
}

function describeProxies(object: AppliedObject): string {
  return object.proxies.length <= 1 ? "the proxy" : plural(object.proxies.length, "proxy", "proxies");
}

/** With its place in the user's files. A policy in a later step is printed with the step that applied it. */
export function describePolicy(policy: PolicyInForce, current: number, told: readonly Finding[]): string {
  const earlier = policy.step === current ? "" : `, from step ${policy.step + 1}`;
  const { file, line } = policy.object;
  const place = line === undefined ? file : `${file}:${line}`;
  return `${describeObject(policy.object)} (${describeForce(policy.object, told)}${earlier}), ${place}`;
}

/** `jwksFetch hybrid`; a sentence about Istio's defaults if nothing is set. */
export function describeMesh(mesh: MeshSetting): string {
  const set = Object.entries(mesh).filter(([, value]) => value !== undefined);
  return set.length === 0 ? "Istio's defaults" : set.map(([name, value]) => `${name}: ${value}`).join(", ");
}

/** What differs in an answer with the expected status and origin, in two words. */
export function describeOther({ findings = [] }: CheckResult): string {
  return findings.map(({ kind }) => OTHER[kind]).find((words) => words !== undefined) ?? "differs";
}

const OTHER: Partial<Record<Finding["kind"], string>> = {
  "body-without-text": "other body",
  "other-body": "other body",
  "other-reply-header": "other header",
  "body-without-key": "other body",
  "other-details": "other details",
  "other-policy": "other policy",
  "other-header": "other header",
  "other-path": "other path",
  "no-echo": "no echo",
  "no-witness": "no witness",
};

/** Answers that changed: `round 2 at 0.31 s: 401 from authentication`. */
export function describeChanges(check: CheckResult): string[] {
  const stale = check.stale;
  return [
    ...(stale === undefined
      ? []
      : [`flush round: ${stale.status} from ${describeAnswerer(check, stale.by)} (a pooled connection, not judged)`]),
    ...check.changes.map(
      (change) =>
        `round ${change.round} at ${formatDuration(change.atMs)}: ${change.status === 0 ? "no answer" : `${change.status} from ${describeAnswerer(check, change.by)}`}`,
    ),
  ];
}

/** `outside-host asked by the proxy`: the name of an asked-check. */
export function describeAsked(asked: AskedResult): string {
  return `${asked.server} asked by ${describeAsker(asked.expected)}`;
}

/** `outside-host to be asked by the proxy`. */
export function describeExpectedAsker(asked: AskedResult): string {
  return `${asked.server} to be asked by ${describeAsker(asked.expected)}`;
}

/** `it was asked by istiod`. */
export function describeSeenAskers(asked: AskedResult): string {
  return `it was asked by ${asked.got.map(describeAsker).join(", ") || "nobody"}`;
}

/** `to be refused by the API server with "…" at spec.x`: what an object is expected to be. */
export function describeExpectedAdmission({ expected }: Pick<AdmissionResult, "expected">): string {
  const { verdict, text, field } = expected;
  const way = { refused: "refused", warned: "accepted with a warning", accepted: "accepted without a warning" }[
    verdict
  ];
  return `to be ${way}${text === undefined ? "" : ` (${quote(text)})`}${field === undefined ? "" : ` at ${field}`}`;
}

/** `it was refused ("…") at spec.x` */
export function describeAdmission({ got }: Pick<AdmissionResult, "got">): string {
  const way = { refused: "refused", warned: "accepted with a warning", accepted: "accepted" }[got.verdict];
  const said = got.texts.map((text) => quote(text.replaceAll(/\s+/g, " ").trim())).join(", ");
  return `it was ${way}${said === "" ? "" : ` (${said})`}${got.fields.length === 0 ? "" : ` at ${got.fields.join(", ")}`}`;
}

function describeAsker(by: string): string {
  return by === "proxy" ? "the proxy" : by;
}

/**
 * The findings that add to `expected …, got …`, which every report prints: who denied, what is odd about a policy.
 * Undefined if there are none.
 */
export function describeWhy(findings: readonly Finding[] = []): string | undefined {
  const more = findings.filter(
    ({ kind }) => kind !== "unexpected-answer" && kind !== "unexpected-askers" && kind !== "other-admission",
  );
  return more.length === 0 ? undefined : sentences(more);
}

function quote(text: string): string {
  return `"${text}"`;
}

/** The first line that is not empty, at most 100 characters. */
export function firstLine(text: string): string {
  const line =
    text
      .slice(0, 2048)
      .split("\n")
      .find((each) => each.trim() !== "")
      ?.trim() ?? "";
  return line.length > 100 ? `${line.slice(0, 100)}…` : line;
}

/** Notes that a reader needs besides the statuses: first, that a run was interrupted. */
export function notesOf(result: RunResult): string[] {
  const left = unfinishedOf(result).length;
  const interrupted = `this run was interrupted: ${left} of ${plural(result.scenarios.length, "scenario")} did not run to the end`;
  return [
    ...(result.interrupted === true ? [interrupted] : []),
    ...partOf(result),
    ...(result.notes ?? []).map(describeNote),
  ];
}

export function repeatOf({ id, repeat }: ScenarioResult): string {
  return repeat ?? `meshproof run ${id} --keep`;
}

/** Whether a check got the expected answer only after other answers. A flaky check may be a known failure. */
export function isFlaky({ status, findings = [] }: CheckResult): boolean {
  return status === "flaky" || (status === "known-failure" && findings.some(({ kind }) => kind === "inconsistent"));
}

/** The note in a shard's report about the other shards. */
function partOf({ shard }: RunResult): string[] {
  if (shard === undefined) return [];
  return [`shard ${shard.index} of ${shard.count}: the rest of the selection is in the other shards' results`];
}
