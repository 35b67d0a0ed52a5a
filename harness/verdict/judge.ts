/** Whether an answer is the expected one, and what is wrong with it where it is not. */

import { sentences } from "../../reports/words.ts";
import type { CheckFinding, Disagreement, LogGap } from "../model/finding.ts";
import type { Answer, CheckResult } from "../model/result.ts";
import type { Expectation, Received } from "../model/scenario.ts";
import { redact } from "../safe/redact.ts";
import { attribute } from "./attribute.ts";
import { explainDenial } from "./explain.ts";

/** How much of a reply a finding quotes. */
const EXCERPT = 80;

/** What a check may demand beside status and answerer. */
type Demands = Required<Omit<Expectation, "status" | "by">>;

/** Every demand of the notation, in the order of judging, each with what is wrong with an answer; a new key needs an entry. */
const DEMANDS: {
  readonly [Key in keyof Demands]: (demand: Demands[Key], answer: Answer, to: string) => Disagreement | undefined;
} = {
  body: (text, { body }) =>
    body.includes(text) ? undefined : { kind: "body-without-text", text, body: excerptOf(body) },
  jsonKey: (key, { body }) =>
    hasKey(body, key) ? undefined : { kind: "body-without-key", key, body: excerptOf(body) },
  received: (received, { body }, to) => findWrongEcho(received, body, to),
  details: (text, { details }) =>
    details === undefined || details.includes(text) ? undefined : { kind: "other-details", text, details },
  // Istio names its rules so: pilot/pkg/security/authz/builder/builder.go, policyName.
  policy: (policy, { details }) =>
    details === undefined || details.includes(`-policy[${policy}]-rule[`)
      ? undefined
      : { kind: "other-policy", policy, details },
};

/** Whether an expectation demands what the proxy's access log alone can tell. */
export function needsAccessLog({ details, policy }: Expectation): boolean {
  return details !== undefined || policy !== undefined;
}

/**
 * What is wrong with an answer; undefined if nothing is.
 * What needs the access log is judged only where the answer has its details: see {@link reviewDetails}.
 * @param to the request's target: a workload's name, or `ingress`
 */
export function findDisagreement(expected: Expectation, answer: Answer, to: string): Disagreement | undefined {
  // A refusal of an external authorizer bears the authorizer's own words: the access log alone tells it from the workload's.
  const untold = answer.details === undefined && expected.details?.startsWith("ext_authz_") === true;
  if (answer.status !== expected.status || (answer.by !== expected.by && !untold))
    return {
      kind: "unexpected-answer",
      expected: { status: expected.status, by: expected.by },
      got: { status: answer.status, by: answer.by, ...(answer.error !== undefined && { error: answer.error }) },
      to,
    };
  for (const key of Object.keys(DEMANDS) as (keyof Demands)[]) {
    const wrong = judgeDemand(key, expected, answer, to);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

function judgeDemand<Key extends keyof Demands>(
  key: Key,
  expected: Partial<Demands>,
  answer: Answer,
  to: string,
): Disagreement | undefined {
  const demand: Demands[Key] | undefined = expected[key];
  return demand === undefined ? undefined : DEMANDS[key](demand, answer, to);
}

/** What the access logs hold about a request: Envoy's response code details, or why there are none. */
export type Logged = { readonly details: string } | { readonly missing: readonly LogGap[] };

/**
 * Judges a check again by the access log, which is written after the answers: who really answered, and what was demanded
 * of the details. A check whose demand cannot be judged is in error; without a demand it stays as it is.
 */
export function reviewDetails(check: CheckResult, logged: Logged): CheckResult {
  const { expected, request } = check;
  const agreed = check.status === "passed" || check.status === "flaky";
  if ("missing" in logged) {
    if (!needsAccessLog(expected) || check.status !== "passed") return check;
    return { ...check, status: "error", ...explainedBy([notJudged(expected, logged.missing)]) };
  }
  const got = withDetails(check.got, logged, request.to);
  const { body: _body, jsonKey: _jsonKey, received: _received, ...demands } = expected;
  const wrong = agreed ? findDisagreement(demands, got, request.to) : undefined;
  const status = wrong === undefined ? check.status : "failed";
  const denial = status === "passed" ? undefined : explainDenial(got);
  const findings = [
    ...(wrong === undefined ? (check.findings ?? []) : [wrong]),
    ...(denial === undefined ? [] : [denial]),
  ];
  return { ...check, got, status, ...(findings.length > 0 && explainedBy(findings)) };
}

/**
 * An answer as the access log tells it: who really answered.
 * @param to the request's target: a workload's name, or `ingress`
 */
export function withDetails(answer: Answer, logged: Logged, to: string): Answer {
  if ("missing" in logged) return answer;
  const seen = { ...answer, details: logged.details };
  // A sidecar that passed the request on did not deny it; a gateway's upstream may have a sidecar that did.
  const passedOn = logged.details === "via_upstream" && to !== "ingress";
  return { ...seen, by: passedOn ? "workload" : attribute(seen) };
}

function notJudged({ details, policy }: Expectation, because: readonly LogGap[]): CheckFinding {
  return {
    kind: "not-judged",
    ...(details !== undefined && { details }),
    ...(policy !== undefined && { policy }),
    because,
  };
}

/** Findings, and the same in words for people. */
export function explainedBy(findings: readonly CheckFinding[]): Required<Pick<CheckResult, "findings" | "reason">> {
  return { findings, reason: sentences(findings) };
}

/** A workload may echo the request's token. */
function excerptOf(body: string): string {
  const text = redact(body);
  return text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text;
}

/** What a request looked like to httpbin, by its `/headers` or `/anything`. */
interface Echo {
  readonly headers: Readonly<Record<string, string>>;
  readonly path?: string;
}

/** @returns undefined for a reply that is not an echo: nothing can be concluded from it. A request has at least one header. */
function readEcho(body: string): Echo | undefined {
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return undefined;
  }
  if (!isRecord(value) || !isRecord(value["headers"])) return undefined;
  const headers = Object.entries(value["headers"]);
  const isText = (text: unknown): boolean => [text].flat().every((item) => typeof item === "string");
  if (headers.length === 0 || !headers.every(([, text]) => isText(text))) return undefined;
  const { url } = value;
  return {
    headers: Object.fromEntries(headers.map(([name, text]) => [name.toLowerCase(), [text].flat().join(",")])),
    ...(typeof url === "string" && { path: url.replace(/^https?:\/\/[^/?]*/, "") }),
  };
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function findWrongEcho({ headers = {}, path }: Received, body: string, to: string): Disagreement | undefined {
  const echo = readEcho(body);
  if (echo === undefined) return { kind: "no-echo", to, body: excerptOf(body) };
  for (const [name, demand] of Object.entries(headers)) {
    const wrong = findWrongHeader(name, demand, echo);
    if (wrong !== undefined) return wrong;
  }
  if (path === undefined || echo.path === path) return undefined;
  return { kind: "other-path", to, path, ...(echo.path !== undefined && { got: echo.path }) };
}

function findWrongHeader(
  header: string,
  demand: NonNullable<Received["headers"]>[string],
  { headers }: Echo,
): Disagreement | undefined {
  const value = headers[header.toLowerCase()];
  const got = value === undefined ? {} : { got: excerptOf(value) };
  if (demand === null || demand === false)
    return value === undefined ? undefined : { kind: "other-header", header, wanted: false, ...got };
  if (demand === true) return value === undefined ? { kind: "other-header", header, wanted: true, ...got } : undefined;
  if (typeof demand === "string")
    return value === demand ? undefined : { kind: "other-header", header, wanted: demand, ...got };
  const claims = value === undefined ? undefined : decodeClaims(value);
  const lacks = Object.entries(demand.claims).find(
    ([claim, expected]) => JSON.stringify(claims?.[claim]) !== JSON.stringify(expected),
  );
  if (lacks === undefined) return undefined;
  return { kind: "other-header", header, wanted: { claim: lacks[0], value: lacks[1] }, ...got };
}

function decodeClaims(value: string): Record<string, unknown> | undefined {
  try {
    return JSON.parse(Buffer.from(value, "base64url").toString()) as Record<string, unknown>;
  } catch {
    return undefined;
  }
}

function hasKey(body: string, key: string): boolean {
  try {
    const value: unknown = JSON.parse(body);
    return isRecord(value) && Object.hasOwn(value, key);
  } catch {
    return false;
  }
}
