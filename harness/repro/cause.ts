/** Finds why a ticket's request got its answer: the first explanation that fits. */

import type { Condition, Explanation, Reason } from "../model/explanation.ts";
import type { Cause } from "../model/cause.ts";
import type { AppliedObject } from "../model/result.ts";
import type { Observation } from "../model/ticket.ts";
import { isForWaypoint } from "./services.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { refOf } from "./understood.ts";

export interface Evidence {
  /** The proxy config's explanation of the ticket's request, even if it is undecided. */
  readonly told: Explanation | undefined;
  /** The ticket's request. */
  readonly main: Observation;
  readonly objects: readonly AppliedObject[];
  readonly translation: Translation;
  readonly ticket: Ticket;
  readonly at: (row: number, column: number) => Observation;
}

/** The first of these causes that fits; otherwise the proxy's own config. */
export function findCause(evidence: Evidence): Cause {
  const { got, explanation } = evidence.main;
  const { at, before = [] } = explanation ?? {};
  const denied = got.by === "authentication" || got.by === "authorization";
  const named = denied && at !== undefined && (at.kind !== "sidecar" || before.length > 0);
  return { ...firstOf(evidence), ...(named && explanation?.decision.verdict === "denied" && { at }) };
}

function firstOf(evidence: Evidence): Cause {
  return (
    whyElsewhere(evidence) ??
    whyPast(evidence) ??
    whyAuthorizer(evidence) ??
    whyKeys(evidence) ??
    whyAudience(evidence) ??
    whyAuthentication(evidence) ??
    whySpelling(evidence) ??
    whyNotChosen(evidence) ??
    whyTcp(evidence) ??
    whyPath(evidence) ??
    whyExplained(evidence)
  );
}

/** Policies are enforced at the server, and this request leaves the mesh. */
function whyElsewhere({ main, translation: { topology } }: Evidence): Cause | undefined {
  if (topology.way.kind !== "egress" || main.got.by !== "workload") return undefined;
  return { kind: "leaves-mesh", host: topology.way.host };
}

/** No policy of a waypoint holds for a request that does not pass one. */
function whyPast({ main, translation: { topology }, ticket: { objects } }: Evidence): Cause | undefined {
  const { passage } = topology;
  const policies = objects.filter((one) => isForWaypoint(one, objects));
  if (passage?.kind !== "past" || main.got.by !== "workload") return undefined;
  // Where nothing is for a waypoint, something else may be the cause.
  if (policies.length === 0 && passage.waypoint === undefined) return undefined;
  const nameOf = ({ namespace, name }: { readonly namespace: string; readonly name: string }): string =>
    `${namespace}/${name}`;
  return {
    ...{ kind: "bypasses-waypoint", service: nameOf(passage.service), because: passage.because },
    ...(passage.waypoint && { waypoint: nameOf(passage.waypoint) }),
    policies: policies.map((one) => ({ ...refOf(one), namespace: one.metadata.namespace ?? topology.fallback })),
  };
}

/** Envoy's own details name the filter: the answer is not another filter's of the same status. */
function whyAuthorizer({ main, translation: { differences } }: Evidence): Cause | undefined {
  if (main.got.details?.startsWith("ext_authz_denied") !== true) return undefined;
  const asked = differences.filter((one) => one.kind === "authorizer");
  if (asked.length === 0) return undefined;
  return { kind: "authorizer-answers", policies: asked.map(({ object }) => object), status: main.got.status };
}

function whyKeys({ main, objects }: Evidence): Cause | undefined {
  // Envoy checks issuer, times and audience before it looks for a key.
  if (main.got.by !== "authentication" || /issuer|audience|expired|not yet|missing/i.test(main.got.body))
    return undefined;
  const finding = objects.flatMap(({ findings = [] }) => findings).find(({ kind }) => kind === "keys-not-fetched");
  if (finding?.kind !== "keys-not-fetched") return undefined;
  return { kind: "keys-not-fetched", issuers: finding.issuers, status: main.got.status };
}

function whyAudience({ main, translation, ticket, at }: Evidence): Cause | undefined {
  const aud = [ticket.tokens[0]?.claims["aud"] ?? []].flat();
  if (main.got.body.includes("Audiences in Jwt are not allowed")) {
    const rule = translation.rules.find(({ iss }) => iss === ticket.tokens[0]?.claims["iss"]);
    return { kind: "token-audience", aud, allowed: rule?.audiences ?? [], status: main.got.status };
  }
  // A policy compares the audience: with another one the answer is the same, and the rule names it.
  const decisive = ruleAboutAudience(main.explanation?.decision.reason);
  if (main.got.by !== "authorization" || decisive === undefined || ticket.tokens.length === 0) return undefined;
  const { policy, conditions } = decisive;
  return {
    kind: "policy-audience",
    ...(policy && { policy: { kind: "AuthorizationPolicy", ...policy } }),
    aud,
    conditions,
    without: at(0, 0).got.status,
  };
}

/** The rule that denies because of the audience, or one that would allow the request with another audience. */
function ruleAboutAudience(reason: Reason | undefined) {
  const isAudience = ({ field }: Condition): boolean => field.kind === "claim" && field.name === "aud";
  if (reason?.kind === "denied") return reason.rule.conditions.some(isAudience) ? reason.rule : undefined;
  if (reason?.kind !== "not-allowed") return undefined;
  return reason.rules.find(({ conditions }) => conditions.length > 0 && conditions.every(isAudience));
}

function whyAuthentication({ main, translation, ticket }: Evidence): Cause | undefined {
  if (main.got.by !== "authentication") return undefined;
  const { status } = main.got;
  const said = main.got.body.trim().split("\n")[0] ?? "";
  if (/issuer is not configured/i.test(said)) {
    const trusted = [...new Set(translation.rules.map((rule) => rule.iss))];
    return { kind: "untrusted-issuer", iss: ticket.tokens[0]?.claims["iss"], trusted, status };
  }
  const reason = main.explanation?.decision.reason;
  // What stays open in the config is not a part of what the filter said.
  return { kind: "token-refused", status, said, ...(reason && reason.kind !== "undecided" && { reason }) };
}

/** Two spellings of a path, one denied and one admitted. */
function whySpelling({ main, translation, at }: Evidence): Cause | undefined {
  const { rows, columns, given } = translation;
  if (rows.length < 2) return undefined;
  const other = at(1, columns.indexOf(given));
  if (main.got.by !== "workload" || other.got.by === "workload") return undefined;
  const [mine = "", plain = ""] = rows.map((row) => row.replace(/^\S+ /, ""));
  const { path = mine, decision } = main.explanation ?? {};
  return {
    kind: "path-bypass",
    compared: path,
    ...(decision && { reason: decision.reason }),
    other: plain,
    status: other.got.status,
  };
}

/** A policy that is in no judging proxy explains why a request is admitted. */
function whyNotChosen({ main, objects, translation }: Evidence): Cause | undefined {
  if (main.got.by !== "workload") return undefined;
  const finding = objects
    .flatMap(({ findings = [] }) => findings)
    .find(({ kind }) => kind === "selects-no-pod" || kind === "attached-to-no-proxy");
  if (finding?.kind === "attached-to-no-proxy") return finding;
  if (finding?.kind !== "selects-no-pod") return undefined;
  const { object, selector, pods } = finding;
  const spaces = [...new Set(pods.map(({ namespace }) => namespace))];
  const elsewhere = spaces.includes(object.namespace) ? [] : spaces;
  const labels = translation.topology.workloads[0]?.labels ?? {};
  return { kind: "selects-no-pod", object, selector, elsewhere, pods: labels };
}

/** Rules about HTTP on a port that the mesh takes for TCP. */
function whyTcp({ main, translation, ticket }: Evidence): Cause | undefined {
  const { way } = translation.topology;
  if (way.kind !== "service" || ticket.request.raw === true) return undefined;
  const { name: portName = "", port } = way.port;
  if (!/^(tcp|tls|mongo|mysql|redis)(-|$)/.test(portName)) return undefined;
  return { kind: "tcp-port", port, name: portName, status: main.got.status };
}

/** A path that is missing in the `notPaths` of a DENY rule. */
function whyPath({ main }: Evidence): Cause | undefined {
  const reason = main.explanation?.decision.reason;
  if (main.got.by !== "authorization" || reason?.kind !== "denied" || reason.rule.policy === undefined)
    return undefined;
  for (const { field, requires, got } of reason.rule.conditions) {
    if (field.kind !== "path" || requires.kind !== "not" || got.kind !== "text") continue;
    const { matcher } = requires;
    return {
      kind: "path-not-exempt",
      policy: { kind: "AuthorizationPolicy", ...reason.rule.policy },
      path: got.text,
      exempt: matcher.kind === "one-of" ? matcher.matchers : [matcher],
      status: main.got.status,
    };
  }
  return undefined;
}

function whyExplained({ main, told }: Evidence): Cause {
  const { status, by, details, error } = main.got;
  // A filter that cannot be evaluated may have changed the request before; still name the rule that denied.
  const rule = told?.rules.find(({ name }) => by === "authorization" && details?.includes(`[${name}]`));
  if (told?.decision.verdict === "undecided" && rule !== undefined)
    return {
      kind: "decision",
      decision: { verdict: "denied", status, by: "authorization", reason: { kind: "denied", rule } },
    };
  const { decision, at, before, beyond } = main.explanation ?? {};
  // No rule or policy denies the request, but the workload did not answer: the proxy's details are the cause.
  const lost = by !== "workload" && decision?.verdict === "admitted";
  if (decision !== undefined && decision.verdict !== "undecided" && !lost)
    return {
      ...{ kind: "decision", decision: decision.verdict === "denied" ? { ...decision, status } : decision },
      ...(at && { at }),
      ...(beyond && { beyond }),
      ...(before && { before: before.map((one) => ({ decision: one.decision, ...(one.at && { at: one.at }) })) }),
    };
  const said = details ?? error ?? (lost ? main.got.body.trim().split("\n")[0] : undefined);
  return { kind: "answer", answer: { status, by }, lost, ...(said && { said }) };
}
