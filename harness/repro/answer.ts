/** What a run of a translated ticket says about it. Pure. */

import type { CheckResult, RunResult, StepResult } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import { OTHERWISE } from "../oracle/index.ts";
import { STAND_IN, words } from "./stand-in.ts";
import type { Ticket, Translation } from "./translate.ts";
import type { Answered, Cell, ReproAnswer } from "../model/ticket.ts";

/**
 * Reads the answer out of a run.
 * @throws Error where the run has no check: the caller tells the scenario's reason first
 */
export function readAnswer(
  result: RunResult,
  translation: Translation,
  ticket: Ticket,
  expected: number | undefined,
  namespaces: { readonly ns: string; readonly outside: string },
): ReproAnswer {
  const step = result.scenarios[0]?.steps[0];
  if (step === undefined) throw new Error("the run has no step");
  const { columns, rows, given } = translation;
  const at = (row: number, column: number): CheckResult =>
    step.checks.find(({ cell }) => cell?.row === row && cell.column === column)!;
  const answered = at(0, columns.indexOf(given));
  const { explanation, ...bare } = answered;
  const disputed = explanation?.startsWith(OTHERWISE) === true;
  const main: CheckResult = disputed ? bare : answered;
  const there = (text: string): string => renamed(text, translation, namespaces);
  const [first = "", ...rest] = (main.explanation ?? "").split("\n");
  const told = !first.startsWith("It cannot be told");
  const notes = [
    ...step.objects.flatMap(({ note }) => (note === undefined ? [] : [there(note)])),
    ...(told ? [] : [first]),
    ...(disputed
      ? [
          `by its config, as meshproof reads it, the proxy would answer otherwise: ${there(explanation.slice(OTHERWISE.length).split("\n")[0] ?? "")} What the mesh answered counts.`,
        ]
      : []),
  ];
  const from = told ? rest.indexOf("Tokens") : -1;
  const met = expected === undefined ? undefined : agrees(main.got, expected);
  return {
    schemaVersion: 1,
    id: result.id,
    tool: result.tool,
    startedAt: result.startedAt,
    command: result.command,
    cause: there(findCause({ main, step, translation, ticket, explained: first, at })),
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
    inForce: from < 0 ? [] : rest.slice(from).map(there),
    notes,
    changes: translation.changes.map((text) => text.replaceAll("${ns}", namespaces.ns)),
    notCarriedOver: translation.left,
    versions: result.cluster.versions,
    applied: step.objects.map((object) => ({ ...object, file: object.file.replace(/^.*\//, "") })),
    standIn: (translation.files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`) ?? "").replaceAll("${ns}", namespaces.ns),
  };
}

function cellOf({ got, request, explanation, curl }: CheckResult, there: (text: string) => string): Cell {
  const { status, by, body, details, error } = got;
  return {
    status,
    by,
    token: request.token,
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
  readonly main: CheckResult;
  readonly step: StepResult;
  readonly translation: Translation;
  readonly ticket: Ticket;
  /** The first line of the explanation. */
  readonly explained: string;
  readonly at: (row: number, column: number) => CheckResult;
}

/** The first of these that fits; the proxy's own config, in words, where none does. */
function findCause(evidence: Evidence): string {
  return (
    whyKeys(evidence) ??
    whyAudience(evidence) ??
    whyAuthentication(evidence) ??
    whySpelling(evidence) ??
    whyNotChosen(evidence) ??
    whyTcp(evidence) ??
    whyHealth(evidence) ??
    whyExplained(evidence)
  );
}

function whyKeys({ main, step }: Evidence): string | undefined {
  // Envoy looks at issuer, times and audience before it looks for a key.
  if (main.got.by !== "authentication" || /issuer|audience|expired|not yet|missing/i.test(main.got.body))
    return undefined;
  const note = step.objects.map(({ note }) => note ?? "").find((text) => text.includes("placeholder key"));
  const issuers = /could not fetch the keys of (.*?): /.exec(note ?? "")?.[1];
  if (issuers === undefined) return undefined;
  return `The keys of ${issuers} could not be fetched: the proxies hold istiod's placeholder key, which no token fits, so jwt_authn answers ${main.got.status} to every token of this issuer.`;
}

function whyAudience({ main, translation, ticket, at }: Evidence): string | undefined {
  const rule = translation.rules.find(({ iss }) => iss === ticket.token?.claims["iss"]);
  const aud = JSON.stringify([ticket.token?.claims["aud"] ?? []].flat());
  if (main.got.body.includes("Audiences in Jwt are not allowed"))
    return `The token is valid, but its audience ${aud} is not among ${JSON.stringify(rule?.audiences ?? [])}, so jwt_authn answers ${main.got.status}.`;
  // A policy that looks at the audience: with another one the answer is the same, and the rule says so.
  const fields = /\((.*(?:claim aud|audience).*)\)\.?$/.exec(main.explanation?.split("\n")[0] ?? "")?.[1];
  if (main.got.by !== "authorization" || fields === undefined || ticket.token === undefined) return undefined;
  const policy = policyIn(main);
  const none = at(0, 0).got.status;
  return `The token is valid, but ${policy ?? "the policy"} looks at its audience ${aud} and refuses it: ${fields}; without a token the answer is ${none}.`;
}

function whyAuthentication({ main, translation, ticket }: Evidence): string | undefined {
  if (main.got.by !== "authentication") return undefined;
  const said = main.got.body.trim().split("\n")[0] ?? "";
  const iss = ticket.token?.claims["iss"];
  const trusted = [...new Set(translation.rules.map((rule) => rule.iss))];
  if (/issuer is not configured/i.test(said))
    return `The token's issuer ${JSON.stringify(iss)} is not among the trusted ${JSON.stringify(trusted)}, so jwt_authn answers ${main.got.status}.`;
  const why = explainedWhy(main);
  return `jwt_authn answers ${main.got.status} "${said}"${why === undefined ? "" : `: ${why}`}.`;
}

/** Two spellings of a path, one refused and one let through. */
function whySpelling({ main, translation, at }: Evidence): string | undefined {
  const { rows, columns, given } = translation;
  if (rows.length < 2) return undefined;
  const other = at(1, columns.indexOf(given));
  if (main.got.by !== "workload" || other.got.by === "workload") return undefined;
  const [mine, plain] = rows.map((row) => row.replace(/^\S+ /, ""));
  const seen = /^path +(.*)$/m.exec(main.explanation ?? "")?.[1] ?? mine;
  const why = explainedWhy(main);
  return `The path bypasses the policy: the proxy compares it as ${seen}${why === undefined ? "" : ` (${why})`} and lets it through, while ${plain}, which a server may take for the same, gets ${other.got.status}.`;
}

/** A policy that no judging proxy has explains that a request goes through. */
function whyNotChosen({ main, step, translation }: Evidence): string | undefined {
  if (main.got.by !== "workload") return undefined;
  const object = step.objects.find(({ note }) => note?.includes("chooses none of the pods"));
  if (object === undefined) return undefined;
  const selector = /it has (selector \S+|no selector)/.exec(object.note ?? "")?.[1] ?? "its selector";
  const where =
    object.note?.includes("meshproof-outside") || object.namespace.endsWith("-outside") ? ", or its namespace," : "";
  return `${object.kind} ${object.namespace}/${object.name} chooses none of the pods: it has ${selector}, and${where} the pods have ${words(translation.standIn.labels)}; nothing else refuses the request.`;
}

/** Rules about HTTP on a port that the mesh takes for TCP. */
function whyTcp({ main, translation }: Evidence): string | undefined {
  const { portName, port } = translation.standIn;
  if (translation.rows.length === 0 || !/^(tcp|tls|mongo|mysql|redis)(-|$)/.test(portName)) return undefined;
  return `Port ${port} is named "${portName}", so the mesh takes its traffic for TCP and rules about tokens, paths and methods do not work as written there; the request got ${main.got.status === 0 ? "no answer" : main.got.status}.`;
}

/** A path that a DENY rule does not list among those that it leaves alone. */
function whyHealth({ main }: Evidence): string | undefined {
  const line = main.explanation?.split("\n")[0] ?? "";
  if (main.got.by !== "authorization" || !/path is \S+, wanted is not /.test(line)) return undefined;
  const [, path, exempt] = /path is (\S+), wanted is not (.*?)(?:; |\)\.?$)/.exec(line) ?? [];
  return `${policyIn(main) ?? "A DENY policy"} denies every path that its notPaths do not list, and ${path} is not among them (${exempt}), so the answer is 403.`;
}

function whyExplained({ main, explained }: Evidence): string {
  const { status, by, details, error } = main.got;
  // No rule or policy refuses it, and still the workload did not answer: what its proxy says about that is the cause.
  const lost = by !== "workload" && explained.startsWith("The request goes through");
  if (explained !== "" && !explained.startsWith("It cannot be told") && !lost) return explained;
  return `${lost ? "No rule or policy refuses the request, but it" : "The request"} got ${status === 0 ? "no answer" : `${status} by the ${by}`}${(details ?? error) ? ` (${details ?? error})` : ""}.`;
}

function explainedWhy({ explanation }: CheckResult): string | undefined {
  return /^[^:]*: (.*?)\.?$/.exec(explanation?.split("\n")[0] ?? "")?.[1];
}

function policyIn({ explanation }: CheckResult): string | undefined {
  return /AuthorizationPolicy \S+/.exec(explanation?.split("\n")[0] ?? "")?.[0];
}

/** Policies by their names in the ticket, and no namespaces of ours. */
function renamed(
  text: string,
  { names }: Translation,
  { ns, outside }: { readonly ns: string; readonly outside: string },
): string {
  let told = text.replaceAll(`app=${STAND_IN}-`, "app=");
  for (const { here, there } of names) {
    const [space = "", name = ""] = here.replace("${ns}", ns).replace("${outside.ns}", outside).split("/");
    const slash = there.indexOf("/");
    const own = slash < 0 ? "" : there.slice(0, slash);
    told = told
      .replaceAll(`ns[${space}]-policy[${name}]`, `ns[${own === "" ? space : own}]-policy[${name}]`)
      .replaceAll(new RegExp(`(?<![\\w/-])${space}/${escape(name)}(?![\\w-])`, "g"), there);
  }
  return told;
}

function escape(text: string): string {
  return text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");
}
