/** Compares an answer with the expected one. */

import { sentences } from "../../reports/words.ts";
import type { CheckFinding, Disagreement, LogGap, WantedText } from "../model/finding.ts";
import type { Answer, CheckResult } from "../model/result.ts";
import { isAnyAnswer, type Expectation, type NoAnswer, type Received } from "../model/scenario.ts";
import { isGateway } from "../model/target.ts";
import { compileRegex } from "../oracle/regex.ts";
import { redact } from "../safe/redact.ts";
import { attribute } from "./attribute.ts";
import { explainDenial } from "./explain.ts";

/** Maximum number of characters of a reply that a finding quotes. */
const EXCERPT = 80;

/** The demands of a check besides status and answerer. */
type Demands = Required<Omit<Expectation, "status" | "grpc" | "by" | "noAnswer">>;

/** Every demand of the format, in the order of judging, with a function that finds the disagreement; a new key needs an entry. */
const DEMANDS: {
  readonly [Key in keyof Demands]: (demand: Demands[Key], answer: Answer, to: string) => Disagreement | undefined;
} = {
  body: (wanted, { body }) => {
    if (typeof wanted === "string")
      return body.includes(wanted) ? undefined : { kind: "body-without-text", text: wanted, body: excerptOf(body) };
    return isText(body, wanted) ? undefined : { kind: "other-body", wanted, body: excerptOf(body) };
  },
  headers: (headers, answer) => {
    for (const [header, wanted] of Object.entries(headers)) {
      const wrong = findWrongReplyHeader(header, wanted, answer);
      if (wrong !== undefined) return wrong;
    }
    return undefined;
  },
  jsonKey: (key, { body }) =>
    hasKey(body, key) ? undefined : { kind: "body-without-key", key, body: excerptOf(body) },
  received: (received, { body }, to) => findWrongEcho(received, body, to),
  details: (text, { details }) =>
    details === undefined || details.includes(text) ? undefined : { kind: "other-details", text, details },
  // Istio's names of rules: pilot/pkg/security/authz/builder/builder.go, policyName.
  policy: (policy, { details }) =>
    details === undefined || details.includes(`-policy[${policy}]-rule[`)
      ? undefined
      : { kind: "other-policy", policy, details },
};

/** Whether an expectation needs the proxy's access log. */
export function needsAccessLog({ details, policy }: Expectation): boolean {
  return details !== undefined || policy !== undefined;
}

/**
 * The first disagreement of an answer; undefined if there is none.
 * Demands that need the access log are judged only if the answer has its details: see {@link reviewDetails}.
 * @param to the request's target: a workload's name, or a gateway's
 */
export function findDisagreement(expected: Expectation, answer: Answer, to: string): Disagreement | undefined {
  // A denial by an external authorizer has the authorizer's own body, and a proxy has many: only the access log distinguishes
  // them from the workload's.
  const { details } = expected;
  const isForeign = details !== undefined && (expected.by === "proxy" || details.startsWith("ext_authz_"));
  const untold = answer.details === undefined && isForeign;
  // No answer may have other reasons: a port on which nothing listens, a timeout.
  const { noAnswer } = expected;
  const isOpen = expected.by === "nobody" && !isSilence(answer.noAnswer, noAnswer);
  const { grpc } = expected;
  const isOther = !isAnyAnswer(expected) && answer.status !== expected.status;
  if (isOther || (grpc !== undefined && answer.grpc !== grpc) || (answer.by !== expected.by && !untold) || isOpen)
    return {
      kind: "unexpected-answer",
      expected: {
        ...{ status: expected.status, by: expected.by },
        ...(grpc !== undefined && { grpc }),
        ...(noAnswer !== undefined && { noAnswer }),
      },
      got: {
        ...{ status: answer.status, by: answer.by },
        ...(answer.grpc !== undefined && { grpc: answer.grpc }),
        ...(answer.error !== undefined && { error: answer.error }),
        ...(answer.noAnswer && { noAnswer: answer.noAnswer }),
      },
      to,
    };
  for (const key of Object.keys(DEMANDS) as (keyof Demands)[]) {
    const wrong = judgeDemand(key, expected, answer, to);
    if (wrong !== undefined) return wrong;
  }
  return undefined;
}

/** A reset closes the connection too. */
function isSilence(got: NoAnswer | undefined, wanted: NoAnswer = "closed"): boolean {
  return got === wanted || (wanted === "closed" && got === "reset");
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

/** The access log's entry of a request: Envoy's response code details, or why there are none. */
export type Logged = { readonly details: string } | { readonly missing: readonly LogGap[] };

/**
 * Judges a check again with the access log, which is written after the answers: who really answered, and the demands on the
 * details. A check whose demand cannot be judged is in error; without such a demand it does not change.
 */
export function reviewDetails(check: CheckResult, logged: Logged): CheckResult {
  const { expected, request } = check;
  const agreed = check.status === "passed" || check.status === "flaky";
  if ("missing" in logged) {
    const { through } = request;
    if ((through === undefined && !needsAccessLog(expected)) || check.status !== "passed") return check;
    const lines = logged.missing.map((gap) => (gap.kind === "no-line" ? gap.proxies : undefined));
    if (through !== undefined && lines.every((one) => one !== undefined))
      return { ...check, status: "failed", ...explainedBy([{ kind: "bypassed", through, proxies: lines.flat() }]) };
    return { ...check, status: "error", ...explainedBy([notJudged(check, logged.missing)]) };
  }
  const got = withDetails(check.got, logged, request.to);
  const { body: _body, headers: _headers, jsonKey: _jsonKey, received: _received, ...demands } = expected;
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
 * The answer with the response code details, and with who really answered.
 * @param to the request's target: a workload's name, or a gateway's
 */
export function withDetails(answer: Answer, logged: Logged, to: string): Answer {
  if ("missing" in logged) return answer;
  const seen = { ...answer, details: logged.details };
  // A sidecar that forwarded the request did not deny it; behind a gateway the upstream's sidecar may have denied it.
  const passedOn = logged.details === "via_upstream" && !isGateway(to);
  return { ...seen, by: passedOn ? "workload" : attribute(seen) };
}

function notJudged({ expected, request }: CheckResult, because: readonly LogGap[]): CheckFinding {
  const { details, policy } = expected;
  const { through } = request;
  return {
    kind: "not-judged",
    ...(through !== undefined && { through }),
    ...(details !== undefined && { details }),
    ...(policy !== undefined && { policy }),
    because,
  };
}

/** Findings, and the same as sentences. */
export function explainedBy(findings: readonly CheckFinding[]): Required<Pick<CheckResult, "findings" | "reason">> {
  return { findings, reason: sentences(findings) };
}

/** A workload may echo the request's token. */
function excerptOf(body: string): string {
  const text = redact(body);
  return text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text;
}

/** Whether the whole text is the wanted one. A pattern that cannot be compiled was reported by the loader. */
function isText(text: string, wanted: WantedText): boolean {
  if ("is" in wanted) return text === wanted.is;
  const compiled = compileRegex(wanted.matches);
  return "matches" in compiled && compiled.matches(text);
}

function findWrongReplyHeader(
  header: string,
  demand: Demands["headers"][string],
  { headers }: Answer,
): Disagreement | undefined {
  const value = headers[header.toLowerCase()];
  const wanted = demand ?? false;
  const agrees =
    typeof wanted === "boolean"
      ? (value !== undefined) === wanted
      : value !== undefined && isText(value, typeof wanted === "string" ? { is: wanted } : wanted);
  if (agrees) return undefined;
  return { kind: "other-reply-header", header, wanted, ...(value !== undefined && { got: excerptOf(value) }) };
}

/** A request as httpbin's `/headers` or `/anything` returns it. */
interface Echo {
  readonly headers: Readonly<Record<string, string>>;
  readonly path?: string;
}

/** @returns undefined for a reply that is not an echo, which proves nothing. An echo has at least one header. */
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
