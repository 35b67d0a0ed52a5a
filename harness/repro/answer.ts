/** What a run of a translated ticket says about it. Pure. */

import { contradicts, type Condition, type Decision, type Reason } from "../model/explanation.ts";
import type { Cause, ObjectRef, TicketNote } from "../model/finding.ts";
import type { ClusterInfo } from "../model/cluster.ts";
import type { AppliedObject } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import type { Answered, Cell, Observation, ReproAnswer } from "../model/ticket.ts";
import { STAND_IN } from "./stand-in.ts";
import type { Ticket, Translation } from "./translate.ts";
import { describeTokens } from "../../reports/words.ts";

/** What was asked, when and where, and what came back. */
export interface Asked extends Pick<ReproAnswer, "id" | "tool" | "startedAt" | "command"> {
  readonly versions: ClusterInfo["versions"];
  readonly objects: readonly AppliedObject[];
  /** One for each cell of the matrix. */
  readonly observations: readonly Observation[];
}

/** Reads the answer out of what was observed. */
export function readAnswer(
  { observations, objects, versions, ...asked }: Asked,
  translation: Translation,
  ticket: Ticket,
  expected: number | undefined,
  namespaces: Namespaces,
): ReproAnswer {
  const { columns, rows, given } = translation;
  const at = (row: number, column: number): Observation =>
    observations.find(({ cell }) => cell?.row === row && cell.column === column)!;
  const there = <Data>(data: Data): Data => renamed(data, translation, namespaces);
  const answered = at(0, columns.indexOf(given));
  const { explanation, ...bare } = answered;
  const disputed = explanation !== undefined && contradicts(explanation.decision, answered.got);
  // What the mesh answered counts.
  const main: Observation = disputed ? bare : answered;
  const undecided = explanation?.decision.verdict === "undecided";
  const restless = observations.flatMap(({ settled, cell }) =>
    settled ? [] : [`${rows[cell?.row ?? 0]} ${columns[cell?.column ?? 0]}`],
  );
  const notes: TicketNote[] = [
    ...(restless.length > 0 ? [{ kind: "not-settled", requests: restless } as const] : []),
    ...objects.flatMap(({ findings = [] }) => findings),
    ...(undecided ? [{ kind: "undecided", decision: explanation.decision } as const] : []),
    ...(disputed ? [{ kind: "disputed", decision: explanation.decision } as const] : []),
  ];
  const told = main.explanation?.filtersAsked === true && !undecided ? main.explanation : undefined;
  const met = expected === undefined ? undefined : agrees(main.got, expected);
  return {
    schemaVersion: 2,
    ...asked,
    cause: there(findCause({ main, objects, translation, ticket, at })),
    verdict: {
      status: main.got.status,
      by: main.got.by,
      body: main.got.body.slice(0, 200).trim(),
      ...(main.got.details === undefined ? {} : { details: there(main.got.details) }),
    },
    request: `${rows[0]}${given === "none" ? " without a token" : " with the token as given"}`,
    ...(expected === undefined ? {} : { expected: { status: expected, met: met! } }),
    matrix: {
      columns,
      rows: rows.map((request, row) => ({
        request,
        cells: columns.map((_, column) => cellOf(at(row, column), there)),
      })),
      given,
    },
    ...(told && { inForce: there({ providers: told.providers, rules: told.rules }) }),
    notes: there(notes),
    changes: translation.changes.map((text) => text.replaceAll("${ns}", namespaces.ns)),
    notCarriedOver: translation.left,
    versions,
    applied: objects.map((object) => ({ ...object, file: object.file.replace(/^.*\//, "") })),
    standIn: (translation.files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`) ?? "").replaceAll("${ns}", namespaces.ns),
  };
}

function cellOf({ got, request, explanation, curl }: Observation, there: <Data>(data: Data) => Data): Cell {
  const { status, by, body, details, error } = got;
  return {
    status,
    by,
    token: describeTokens(request.tokens),
    body: body.slice(0, 200).trim(),
    ...(details === undefined ? {} : { details: there(details) }),
    ...(error === undefined ? {} : { error }),
    ...(explanation === undefined ? {} : { explanation: there(explanation) }),
    curl,
  };
}

/** 200 stands for "goes through": what the workload then says is its own affair. */
function agrees({ status, by }: Answered, expected: number): boolean {
  return expected === 200 ? by === "workload" : status === expected && by !== "workload";
}

/**
 * What each cell of the exported scenario expects; undefined where it cannot be one, with the reason: a denial proves
 * something only beside an admitted request (harness/scenario/expand.ts).
 */
export function expectations(
  answer: ReproAnswer,
): { readonly expect: (row: number, column: number) => Expectation } | { readonly why: string } {
  const cells = answer.matrix.rows.flatMap((row) => row.cells);
  if (cells.some(({ status, by }) => status === 0 || by === "nobody"))
    return { why: "a request got no answer, and a scenario cannot expect that" };
  if (!cells.some(({ by }) => by === "workload"))
    return { why: "no request was admitted, and a denial alone proves nothing: name a request that is admitted" };
  return {
    expect: (row, column) => {
      const { status, by } = answer.matrix.rows[row]!.cells[column]!;
      return { status, by: by as Expectation["by"] };
    },
  };
}

interface Evidence {
  /** The request as given. */
  readonly main: Observation;
  readonly objects: readonly AppliedObject[];
  readonly translation: Translation;
  readonly ticket: Ticket;
  readonly at: (row: number, column: number) => Observation;
}

/** The first of these that fits; the proxy's own config where none does. */
function findCause(evidence: Evidence): Cause {
  return (
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

function whyKeys({ main, objects }: Evidence): Cause | undefined {
  // Envoy looks at issuer, times and audience before it looks for a key.
  if (main.got.by !== "authentication" || /issuer|audience|expired|not yet|missing/i.test(main.got.body))
    return undefined;
  const finding = objects.flatMap(({ findings = [] }) => findings).find(({ kind }) => kind === "keys-not-fetched");
  if (finding?.kind !== "keys-not-fetched") return undefined;
  return { kind: "keys-not-fetched", issuers: finding.issuers, status: main.got.status };
}

function whyAudience({ main, translation, ticket, at }: Evidence): Cause | undefined {
  const aud = [ticket.token?.claims["aud"] ?? []].flat();
  if (main.got.body.includes("Audiences in Jwt are not allowed")) {
    const rule = translation.rules.find(({ iss }) => iss === ticket.token?.claims["iss"]);
    return { kind: "token-audience", aud, allowed: rule?.audiences ?? [], status: main.got.status };
  }
  // A policy that looks at the audience: with another one the answer is the same, and the rule says so.
  const decisive = ruleAboutAudience(main.explanation?.decision.reason);
  if (main.got.by !== "authorization" || decisive === undefined || ticket.token === undefined) return undefined;
  const { policy, conditions } = decisive;
  return {
    kind: "policy-audience",
    ...(policy && { policy: { kind: "AuthorizationPolicy", ...policy } }),
    aud,
    conditions,
    without: at(0, 0).got.status,
  };
}

/** The rule that denies for the audience, or one that would allow the request with another audience. */
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
    return { kind: "untrusted-issuer", iss: ticket.token?.claims["iss"], trusted, status };
  }
  const reason = main.explanation?.decision.reason;
  return { kind: "token-refused", status, said, ...(reason && { reason }) };
}

/** Two spellings of a path, one refused and one let through. */
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

/** A policy that no judging proxy has explains that a request goes through. */
function whyNotChosen({ main, objects, translation }: Evidence): Cause | undefined {
  if (main.got.by !== "workload") return undefined;
  const finding = objects.flatMap(({ findings = [] }) => findings).find(({ kind }) => kind === "selects-no-pod");
  if (finding?.kind !== "selects-no-pod") return undefined;
  const { object, selector, pods } = finding;
  const elsewhere = pods.some(({ namespace }) => namespace !== object.namespace);
  return { kind: "selects-no-pod", object, selector, elsewhere, pods: translation.standIn.labels };
}

/** Rules about HTTP on a port that the mesh takes for TCP. */
function whyTcp({ main, translation }: Evidence): Cause | undefined {
  const { portName, port } = translation.standIn;
  if (translation.rows.length === 0 || !/^(tcp|tls|mongo|mysql|redis)(-|$)/.test(portName)) return undefined;
  return { kind: "tcp-port", port, name: portName, status: main.got.status };
}

/** A path that a DENY rule does not list among those that it leaves alone. */
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

function whyExplained({ main }: Evidence): Cause {
  const { status, by, details, error } = main.got;
  const decision: Decision | undefined = main.explanation?.decision;
  // No rule or policy refuses it, and still the workload did not answer: what its proxy says about that is the cause.
  const lost = by !== "workload" && decision?.verdict === "admitted";
  if (decision !== undefined && decision.verdict !== "undecided" && !lost) return { kind: "decision", decision };
  const said = details ?? error;
  return { kind: "answer", answer: { status, by }, lost, ...(said && { said }) };
}

interface Namespaces {
  readonly ns: string;
  readonly outside: string;
}

/** Policies by their names in the ticket, also where Envoy names a rule, and the ticket's own labels. */
function renamed<Data>(data: Data, { names }: Translation, { ns, outside }: Namespaces): Data {
  const known = new Map(
    names.map(({ here, there }) => [here.replace("${ns}", ns).replace("${outside.ns}", outside), there]),
  );
  const rename = ({
    namespace,
    name,
  }: Pick<ObjectRef, "namespace" | "name">): Pick<ObjectRef, "namespace" | "name"> => {
    const there = known.get(`${namespace}/${name}`);
    if (there === undefined) return { namespace, name };
    const slash = there.indexOf("/");
    return { namespace: there.slice(0, Math.max(0, slash)), name: there.slice(slash + 1) };
  };
  const map = (value: unknown, key = ""): unknown => {
    if (typeof value === "string")
      return key === "app" ? value.replace(`${STAND_IN}-`, "") : inEnvoysNames(value, rename);
    if (Array.isArray(value)) return value.map((inner) => map(inner));
    if (typeof value !== "object" || value === null) return value;
    const mapped = Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, map(inner, name)]));
    const { namespace, name } = mapped;
    return typeof namespace === "string" && typeof name === "string"
      ? { ...mapped, ...rename({ namespace, name }) }
      : mapped;
  };
  return map(data) as Data;
}

/** Istio names its rules so: pilot/pkg/security/authz/builder/builder.go, policyName. */
function inEnvoysNames(
  text: string,
  rename: (ref: Pick<ObjectRef, "namespace" | "name">) => Pick<ObjectRef, "namespace" | "name">,
): string {
  return text.replaceAll(/ns\[([^\]]*)\]-policy\[([^\]]*)\]/g, (_, namespace: string, name: string) => {
    const there = rename({ namespace, name });
    return `ns[${there.namespace || namespace}]-policy[${there.name}]`;
  });
}
