/** What a run of a translated ticket says about it. Pure. */

import type { CheckResult, RunResult, StepResult } from "../result.ts";
import type { Expectation } from "../scenario/types.ts";
import { OTHERWISE } from "../oracle/index.ts";
import { STAND_IN, words } from "./stand-in.ts";
import type { Ticket, Translation } from "./translate.ts";

export interface Cell {
  readonly status: number;
  readonly by: CheckResult["got"]["by"];
}

/** `meshproof repro --json` prints this. */
export interface ReproAnswer {
  /** One sentence. */
  readonly cause: string;
  /** The answer to the request as given. */
  readonly verdict: Cell & { readonly details?: string; readonly body: string };
  readonly request: string;
  /** What the reporter expected, and whether the mesh answers so. */
  readonly expected?: { readonly status: number; readonly met: boolean };
  readonly matrix: {
    readonly columns: readonly string[];
    readonly rows: readonly { readonly request: string; readonly cells: readonly Cell[] }[];
  };
  /** The rules for tokens and the policies in force, in Envoy's order, compared with the request as given. */
  readonly inForce: readonly string[];
  /** Policies that are in none of the proxies that judge the request, and other oddities of what was applied. */
  readonly notes: readonly string[];
  readonly changes: readonly string[];
  readonly notCarriedOver: readonly string[];
  readonly versions: Readonly<Record<string, string>>;
  /** What of the ticket's YAML gives the same answer (`--minimize`). */
  readonly minimized?: Minimization;
  /** Commands that send each request again; tokens stand as $TOKEN. */
  readonly curl: readonly { readonly name: string; readonly line: string }[];
}

export interface Minimization {
  /** Whether what is left gave the same answer when it was asked by itself; the ticket stays as it is otherwise. */
  readonly confirmed: boolean;
  /** False where the tries ran out: something left may be needless. */
  readonly complete: boolean;
  readonly tries: number;
  /** Tries that could not be run, mostly as the API server refuses what would be left. */
  readonly refused: number;
  /** `AuthorizationPolicy shop/a rules[1]`, in the order in which they went. */
  readonly dropped: readonly string[];
  /** What is left, without keys. */
  readonly yaml: string;
}

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
  const disputed = contradicts(answered);
  const { explanation: _, ...bare } = answered;
  const main: CheckResult = disputed ? bare : answered;
  const there = (text: string): string => renamed(text, translation, namespaces);
  const [first = "", ...rest] = (main.explanation ?? "").split("\n");
  const told = !first.startsWith("It cannot be told");
  const notes = [
    ...step.objects.flatMap(({ note }) => (note === undefined ? [] : [there(note)])),
    ...(told ? [] : [first]),
    ...(disputed
      ? [
          `by its config, as meshproof reads it, the proxy would answer otherwise: ${there(disputed)} What the mesh answered counts.`,
        ]
      : []),
  ];
  const from = told ? rest.indexOf("Tokens") : -1;
  const met = expected === undefined ? undefined : agrees(main.got, expected);
  return {
    cause: there(findCause({ main, step, translation, ticket, explained: first, at })),
    verdict: {
      ...cellOf(main),
      body: main.got.body.slice(0, 200).trim(),
      ...(main.got.details === undefined ? {} : { details: there(main.got.details) }),
    },
    request: `${rows[0]}${given === "none" ? " without a token" : " with the token as given"}`,
    ...(expected === undefined ? {} : { expected: { status: expected, met: met! } }),
    matrix: {
      columns,
      rows: rows.map((request, row) => ({ request, cells: columns.map((_, column) => cellOf(at(row, column))) })),
    },
    inForce: from < 0 ? [] : rest.slice(from).map(there),
    notes,
    changes: translation.changes.map((text) => text.replaceAll("${ns}", namespaces.ns)),
    notCarriedOver: translation.left,
    versions: result.cluster.versions,
    curl: step.checks.map(({ name, curl }) => ({ name, line: curl })),
  };
}

function cellOf({ got: { status, by } }: CheckResult): Cell {
  return { status, by };
}

/** What the config was read to mean, where the mesh answers otherwise. */
function contradicts({ got, explanation }: CheckResult): string | undefined {
  const [first = ""] = (explanation ?? "").replace(OTHERWISE, "").split("\n");
  const admitted = first.startsWith("The request goes through");
  const denied = /^The request is denied by \w+ with (\d+)/.exec(first)?.[1];
  const wrong = (admitted && got.by !== "workload") || (denied !== undefined && Number(denied) !== got.status);
  return wrong ? first : undefined;
}

/** 200 stands for "goes through": what the workload then says is its own affair. */
function agrees({ status, by }: Cell, expected: number): boolean {
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
  if (explained !== "" && !explained.startsWith("It cannot be told")) return explained;
  const { status, by, details, error } = main.got;
  return `The request got ${status === 0 ? "no answer" : `${status} by the ${by}`}${(details ?? error) ? ` (${details ?? error})` : ""}.`;
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
