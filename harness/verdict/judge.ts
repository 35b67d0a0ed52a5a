/** Whether an answer is the expected one, and in words why not. */

import type { Answer, CheckResult } from "../result.ts";
import type { Answerer, Expectation, Received } from "../scenario/types.ts";
import { redactTokens } from "../tokens/redact.ts";
import { attribute } from "./attribute.ts";
import { explainDenial } from "./explain.ts";

/** As much of a reply as a sentence bears. */
const EXCERPT = 80;

/**
 * What is wrong with an answer, as a sentence: `expected 401 from authentication, got 200 from httpbin`; undefined if nothing is.
 * Response code details are judged only where the answer has them: see {@link reviewDetails}.
 * @param to the request's target: a workload's name, or `ingress`
 */
export function findDisagreement(expected: Expectation, answer: Answer, to: string): string | undefined {
  // A refusal of an external authorizer bears the authorizer's own words: the access log alone tells it from the workload's.
  const untold = answer.details === undefined && expected.details?.startsWith("ext_authz_") === true;
  if (answer.status !== expected.status || (answer.by !== expected.by && !untold))
    return `expected ${expected.status} from ${nameAnswerer(expected.by, to)}, got ${describeAnswer(answer, to)}`;
  if (expected.body !== undefined && !answer.body.includes(expected.body))
    return `expected a body with ${quote(expected.body)}, got ${describeBody(answer.body)}`;
  if (expected.jsonKey !== undefined && !hasKey(answer.body, expected.jsonKey))
    return `expected a JSON object with the key ${quote(expected.jsonKey)}, got ${describeBody(answer.body)}`;
  const { headers = {}, path } = expected.received ?? {};
  for (const [name, demand] of Object.entries(headers)) {
    const wrong = findWrongHeader(name, demand, readEcho(answer.body));
    if (wrong !== undefined) return wrong;
  }
  if (path !== undefined && readEcho(answer.body).path !== path)
    return `expected ${to} to receive the path ${quote(path)}, got ${quote(readEcho(answer.body).path ?? "none")}`;
  if (expected.details !== undefined && answer.details !== undefined && !answer.details.includes(expected.details))
    return `expected response code details with ${quote(expected.details)}, got ${quote(answer.details)}`;
  return undefined;
}

/**
 * Judges a check again when the access log has been read, long after its answers: who really answered, and the demanded details.
 * @param details Envoy's response code details for the judged answer; undefined where the log has no line for it
 */
export function reviewDetails(check: CheckResult, details: string | undefined): CheckResult {
  const { expected, request } = check;
  if (details === undefined) {
    if (expected.details === undefined || check.status !== "passed") return check;
    const reason = `expected response code details with ${quote(expected.details)}, the access log has no line for this request`;
    return { ...check, status: "failed", reason };
  }
  const seen = { ...check.got, details };
  // A sidecar that passed the request on did not deny it; a gateway's upstream may have a sidecar that did.
  const passedOn = details === "via_upstream" && request.to !== "ingress";
  const got: Answer = { ...seen, by: passedOn ? "workload" : attribute(seen) };
  const { body: _body, jsonKey: _jsonKey, received: _received, ...demands } = expected;
  const agreed = check.status === "passed" || check.status === "flaky";
  const wrong = agreed ? findDisagreement(demands, got, request.to) : undefined;
  const status = wrong === undefined ? check.status : "failed";
  const why = status === "passed" ? undefined : explainDenial(got);
  const reason = [wrong ?? check.reason, why].filter((part) => part !== undefined && part !== "").join("; ");
  return { ...check, got, status, ...(reason !== "" && { reason }) };
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
  const text = redactTokens(body);
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

function readEcho(body: string): Echo {
  try {
    const { headers, url } = JSON.parse(body) as { headers?: Record<string, string | string[]>; url?: string };
    return {
      headers: Object.fromEntries(
        Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), [value].flat().join(",")]),
      ),
      ...(typeof url === "string" && { path: url.replace(/^https?:\/\/[^/?]*/, "") }),
    };
  } catch {
    return { headers: {} };
  }
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
    return typeof value === "object" && value !== null && !Array.isArray(value) && Object.hasOwn(value, key);
  } catch {
    return false;
  }
}
