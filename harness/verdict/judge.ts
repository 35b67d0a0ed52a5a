/** Whether an answer is the expected one, and in words why not. */

import type { Answer, CheckResult } from "../model/result.ts";
import type { Answerer, Expectation, Received } from "../model/scenario.ts";
import { redact } from "../safe/redact.ts";
import { attribute } from "./attribute.ts";
import { explainDenial } from "./explain.ts";

/** As much of a reply as a sentence bears. */
const EXCERPT = 80;

/** What a check may demand beside status and answerer. */
type Demands = Required<Omit<Expectation, "status" | "by">>;

/** Every demand of the notation, in the order of judging, each with what is wrong with an answer; a new key needs an entry. */
const DEMANDS: {
  readonly [Key in keyof Demands]: (demand: Demands[Key], answer: Answer, to: string) => string | undefined;
} = {
  body: (text, { body }) =>
    body.includes(text) ? undefined : `expected a body with ${quote(text)}, got ${describeBody(body)}`,
  jsonKey: (key, { body }) =>
    hasKey(body, key) ? undefined : `expected a JSON object with the key ${quote(key)}, got ${describeBody(body)}`,
  received: (received, { body }, to) => findWrongEcho(received, body, to),
  details: (text, { details }) =>
    details === undefined || details.includes(text)
      ? undefined
      : `expected response code details with ${quote(text)}, got ${quote(details)}`,
  // Istio names its rules so: pilot/pkg/security/authz/builder/builder.go, policyName.
  policy: (name, { details }) =>
    details === undefined || details.includes(`-policy[${name}]-rule[`)
      ? undefined
      : `expected a rule of the AuthorizationPolicy ${quote(name)} to decide, got the response code details ${quote(details)}`,
};

/** Whether an expectation demands what the proxy's access log alone can tell. */
export function needsAccessLog({ details, policy }: Expectation): boolean {
  return details !== undefined || policy !== undefined;
}

/**
 * What is wrong with an answer, as a sentence: `expected 401 from authentication, got 200 from httpbin`; undefined if nothing is.
 * What needs the access log is judged only where the answer has its details: see {@link reviewDetails}.
 * @param to the request's target: a workload's name, or `ingress`
 */
export function findDisagreement(expected: Expectation, answer: Answer, to: string): string | undefined {
  // A refusal of an external authorizer bears the authorizer's own words: the access log alone tells it from the workload's.
  const untold = answer.details === undefined && expected.details?.startsWith("ext_authz_") === true;
  if (answer.status !== expected.status || (answer.by !== expected.by && !untold))
    return `expected ${expected.status} from ${nameAnswerer(expected.by, to)}, got ${describeAnswer(answer, to)}`;
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
): string | undefined {
  const demand: Demands[Key] | undefined = expected[key];
  return demand === undefined ? undefined : DEMANDS[key](demand, answer, to);
}

/** What the access logs hold about a request: Envoy's response code details, or why there are none. */
export type Logged = { readonly details: string } | { readonly missing: string };

/**
 * Judges a check again by the access log, which is written after the answers: who really answered, and what was demanded
 * of the details. A check whose demand cannot be judged is in error; without a demand it stays as it is.
 */
export function reviewDetails(check: CheckResult, logged: Logged): CheckResult {
  const { expected, request } = check;
  const agreed = check.status === "passed" || check.status === "flaky";
  if ("missing" in logged) {
    if (!needsAccessLog(expected) || check.status !== "passed") return check;
    const demanded = [
      ...(expected.details === undefined ? [] : [`response code details with ${quote(expected.details)}`]),
      ...(expected.policy === undefined ? [] : [`a rule of the AuthorizationPolicy ${quote(expected.policy)}`]),
    ].join(" and ");
    return { ...check, status: "error", reason: `could not be judged: it demands ${demanded}, and ${logged.missing}` };
  }
  const got = withDetails(check.got, logged, request.to);
  const { body: _body, jsonKey: _jsonKey, received: _received, ...demands } = expected;
  const wrong = agreed ? findDisagreement(demands, got, request.to) : undefined;
  const status = wrong === undefined ? check.status : "failed";
  const why = status === "passed" ? undefined : explainDenial(got);
  const reason = [wrong ?? check.reason, why].filter((part) => part !== undefined && part !== "").join("; ");
  return { ...check, got, status, ...(reason !== "" && { reason }) };
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

/** `200 from httpbin`, or why there is none. */
function describeAnswer({ status, by, error }: Pick<Answer, "status" | "by" | "error">, to: string): string {
  if (by === "nobody") return `no answer${error === undefined ? "" : ` (${error})`}`;
  return `${status} from ${nameAnswerer(by, to)}`;
}

function nameAnswerer(by: Answerer, to: string): string {
  switch (by) {
    case "workload":
      return to === "ingress" ? "the workload behind ingress" : to;
    case "proxy":
      return "a proxy";
    default:
      return by;
  }
}

function describeBody(body: string): string {
  if (body === "") return "an empty one";
  // A workload may echo the request's token.
  const text = redact(body);
  return quote(text.length > EXCERPT ? `${text.slice(0, EXCERPT)}…` : text);
}

function quote(text: string): string {
  return JSON.stringify(text);
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

function findWrongEcho({ headers = {}, path }: Received, body: string, to: string): string | undefined {
  const echo = readEcho(body);
  if (echo === undefined)
    return `expected ${to} to echo the request, the reply is not an echo of the request: ${describeBody(body)}`;
  for (const [name, demand] of Object.entries(headers)) {
    const wrong = findWrongHeader(name, demand, echo);
    if (wrong !== undefined) return wrong;
  }
  if (path === undefined || echo.path === path) return undefined;
  const got = echo.path === undefined ? "the reply does not say" : `got ${quote(echo.path)}`;
  return `expected ${to} to receive the path ${quote(path)}, ${got}`;
}

function findWrongHeader(
  name: string,
  demand: NonNullable<Received["headers"]>[string],
  { headers }: Echo,
): string | undefined {
  const value = headers[name.toLowerCase()];
  const got = value === undefined ? "got none" : `got ${describeBody(value)}`;
  const wanted = `expected the workload to receive the header ${name}`;
  if (demand === null || demand === false)
    return value === undefined ? undefined : `expected the workload to receive no header ${name}, ${got}`;
  if (demand === true) return value === undefined ? `${wanted}, ${got}` : undefined;
  if (typeof demand === "string") return value === demand ? undefined : `${wanted} with ${quote(demand)}, ${got}`;
  const claims = value === undefined ? undefined : decodeClaims(value);
  const lacks = Object.entries(demand.claims).find(
    ([claim, expected]) => JSON.stringify(claims?.[claim]) !== JSON.stringify(expected),
  );
  return lacks === undefined ? undefined : `${wanted} with ${quote(JSON.stringify({ [lacks[0]]: lacks[1] }))}, ${got}`;
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
