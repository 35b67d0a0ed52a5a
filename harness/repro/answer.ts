/** Turns the observations of a translated ticket into its answer. Pure. */

import { isDeepStrictEqual } from "node:util";
import type { ApiWarning } from "../mesh/api-warnings.ts";
import { contradicts, stagesOf, type Decision, type Explanation } from "../model/explanation.ts";
import type { TicketNote } from "../model/cause.ts";
import type { ObjectRef } from "../model/finding.ts";
import type { ClusterInfo } from "../model/cluster.ts";
import type { AppliedObject } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import type {
  Answered,
  Caller,
  Cell,
  Difference,
  InForce,
  Observation,
  Outcome,
  ReproAnswer,
  Seen,
} from "../model/ticket.ts";
import type { Hint } from "../model/hint.ts";
import type { TicketRequest } from "./curl-line.ts";
import { findCause } from "./cause.ts";
import { agrees, isSeen } from "./outcome.ts";
import { STAND_IN } from "./stand-in.ts";
import { openFactsOf } from "./open-facts.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { describeTokens } from "../../reports/words.ts";

/** The requests that were sent, when and where, and their answers. */
export interface Asked extends Pick<ReproAnswer, "id" | "tool" | "startedAt" | "command"> {
  readonly versions: ClusterInfo["versions"];
  readonly objects: readonly AppliedObject[];
  readonly warnings?: readonly ApiWarning[];
  /** One per cell of the matrix, then one per other client. */
  readonly observations: readonly Observation[];
}

/** The reporter's statements. */
export interface Wanted {
  readonly expected?: Outcome | undefined;
  readonly seen?: Seen | undefined;
}

/** Builds the answer from the observations. */
export function readAnswer(
  { observations, objects, versions, warnings = [], ...asked }: Asked,
  translation: Translation,
  ticket: Ticket,
  { expected, seen }: Wanted,
): ReproAnswer {
  const { columns, rows, given } = translation;
  const at = (row: number, column: number): Observation =>
    observations.find(({ cell }) => cell?.row === row && cell.column === column)!;
  const answered = at(0, columns.indexOf(given));
  const { explanation, ...bare } = answered;
  const disputed = explanation !== undefined && isOtherwise(explanation.decision, answered.got);
  // The mesh's answer counts.
  const main: Observation = disputed ? bare : answered;
  const undecided = explanation?.decision.verdict === "undecided";
  const restless = observations.flatMap(({ settled, cell }) =>
    settled ? [] : [`${rows[cell?.row ?? 0]} ${columns[cell?.column ?? 0]}`],
  );
  const notes: TicketNote[] = [
    ...(restless.length > 0 ? [{ kind: "not-settled", requests: restless } as const] : []),
    // No proxy judges a request that leaves the mesh.
    ...(translation.topology.way.kind === "egress" ? [] : objects.flatMap(({ findings = [] }) => findings)),
    ...warnings.flatMap((one): TicketNote[] =>
      objects.some(({ kind, namespace, name }) => isDeepStrictEqual({ kind, namespace, name }, one.object))
        ? [{ kind: "api-warning", ...one }]
        : [],
    ),
    ...(undecided ? [{ kind: "undecided", ...decidingOf(explanation) } as const] : []),
    ...(disputed ? [{ kind: "disputed", ...decidingOf(explanation) } as const] : []),
  ];
  const told = main.explanation?.filtersAsked === true && !undecided ? main.explanation : undefined;
  const others = observations.filter(({ cell }) => cell === undefined);
  // A policy at another proxy on the way, whose rules the explanation does not show.
  const elsewhere = ({ kind, namespace, name }: ObjectRef): boolean =>
    main.explanation?.decision.verdict === "admitted" &&
    !stagesOf(main.explanation).some(({ rules }) =>
      rules.some(({ policy }) => policy?.namespace === namespace && policy.name === name),
    ) &&
    objects.some(
      (one) =>
        isDeepStrictEqual([one.kind, one.namespace, one.name], [kind, namespace, name]) && one.proxies.length > 0,
    );
  const differences = [
    ...translation.differences.map((one) => authorizerAnswered(one, main.got)),
    ...translation.topology.others.flatMap(({ caller, open }, index): Difference[] => {
      const other = others[index];
      return other === undefined ? [] : [compareCallers(caller, open, main.got, other.got)];
    }),
    ...openFactsOf(ticket, translation, main, elsewhere).map(
      // Any value that gets what the reporter saw is as good as theirs.
      (one) => (seen !== undefined && isSeen(main.got, seen) ? { ...one, decides: "no" as const } : one),
    ),
    ...endpointsOf(translation, main),
    ...timesOf(translation, at, seen),
    ...passageOf(translation, main),
    ...(seen === undefined || isSeen(main.got, seen)
      ? []
      : [
          otherwise(
            seen,
            columns.filter((_, column) => isSeen(at(0, column).got, seen)),
          ),
        ]),
  ].sort((a, b) => ORDER.indexOf(a.decides) - ORDER.indexOf(b.decides));
  // The authorizer is a difference, which says so itself.
  const { extAuthz: _, ...mesh } = translation.mesh;
  return {
    schemaVersion: 3,
    ...asked,
    ticket: ticket.name,
    reproduced: differences.every(({ decides }) => decides === "no") && restless.length === 0,
    cause: findCause({ main, objects, translation, ticket, at, told: explanation }),
    verdict: {
      status: main.got.status,
      by: main.got.by,
      body: main.got.body.slice(0, 200).trim(),
      ...(main.got.details === undefined ? {} : { details: main.got.details }),
      ...(main.got.error === undefined ? {} : { error: main.got.error }),
    },
    request: `${nameRequest(ticket.request, rows[0]!)}${given === "none" ? " without a token" : " with the token as given"}`,
    ...(expected === undefined ? {} : { expected: { outcome: expected, met: agrees(main.got, expected) } }),
    matrix: {
      columns,
      rows: rows.map((request, row) => ({
        request,
        cells: columns.map((_, column) => cellOf(at(row, column))),
      })),
      given,
    },
    ...(told && { inForce: inForceOf(told) }),
    notes,
    differences,
    hints: hintsFor(translation, main),
    versions,
    ...(Object.keys(mesh).length > 0 && { mesh }),
    applied: objects.map((object) => ({ ...object, file: object.file.replace(/^.*\//, "") })),
    standIn: translation.files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`) ?? "",
  };
}

function decidingOf({ decision, at }: Explanation): Pick<Explanation, "decision" | "at"> {
  return { decision, ...(at && { at }) };
}

function inForceOf({ providers, rules, at, before }: Explanation): InForce {
  return { providers, rules, ...(at && { at }), ...(before && { before: before.map(inForceOf) }) };
}

const ORDER: readonly Difference["decides"][] = ["yes", "unknown", "no"];

function nameRequest({ authority, scheme, headers, host, raw }: TicketRequest, row: string): string {
  if (raw === true) return `a plain TCP connection to ${authority}`;
  const [method = "", path = ""] = row.split(/ (.*)/s);
  const url = authority === undefined ? path : `${scheme}://${authority}${path}`;
  const more = [
    ...(host === undefined ? [] : [`Host: ${host}`]),
    ...headers.map(([name, value]) => `${name}: ${value}`),
  ];
  return `${method} ${url}${more.map((line) => `, ${line}`).join("")}`;
}

function cellOf({ got, request, explanation, curl }: Observation): Cell {
  const { status, by, body, details, error } = got;
  return {
    status,
    by,
    token: describeTokens(request.tokens),
    body: body.slice(0, 200).trim(),
    ...(details === undefined ? {} : { details }),
    ...(error === undefined ? {} : { error }),
    ...(explanation === undefined ? {} : { explanation }),
    curl,
  };
}

/** An answer of the filter that asks the authorizer, and not the authorizer's own: it was not asked, or is another one. */
function authorizerAnswered(difference: Difference, { details = "", status }: Observation["got"]): Difference {
  if (difference.kind !== "authorizer" || !details.startsWith("ext_authz_") || status === difference.status)
    return difference;
  return { ...difference, decides: "yes" };
}

function otherwise(seen: Seen, columns: readonly string[]): Difference {
  return { kind: "seen-otherwise", seen, columns, decides: "yes" };
}

/** The ticket does not show when its token was sent. It does not decide if each time gets the same answer, or only one gets what was seen. */
function timesOf(
  { columns, given, otherTimes }: Translation,
  at: (row: number, column: number) => Observation,
  seen: Seen | undefined,
): Difference[] {
  const { got } = at(0, columns.indexOf(given));
  return otherTimes.map(({ column, state }): Difference => {
    const other = at(0, columns.indexOf(column)).got;
    const same = got.status === other.status && got.by === other.by;
    const excluded = seen !== undefined && isSeen(got, seen) && !isSeen(other, seen);
    const bare = ({ status, by }: Answered): Answered => ({ status, by });
    return {
      ...{ kind: "token-times", was: "valid", main: bare(got), or: state, other: bare(other) },
      decides: same || excluded ? "no" : "unknown",
    };
  });
}

/** A fact that the ticket does not give does not decide if the answer is the same with each value. */
function compareCallers(
  caller: Caller,
  open: Extract<Difference, { kind: "other-caller" }>["open"],
  main: Answered,
  other: Answered,
): Difference {
  const same = main.status === other.status && main.by === other.by;
  const bare = ({ status, by }: Answered): Answered => ({ status, by });
  return { kind: "other-caller", caller, open, main: bare(main), other: bare(other), decides: same ? "no" : "yes" };
}

/** What the workload answers, and what a client's own tunnel brings, must have passed the waypoint. */
function passageOf({ topology: { passage } }: Translation, { got, passed }: Observation): Difference[] {
  if (passage?.kind !== "through" || passed !== false) return [];
  if (!passage.tunnel && got.by !== "workload") return [];
  const { namespace, name } = passage.waypoint;
  return [{ kind: "not-through", waypoint: `${namespace}/${name}`, decides: "unknown" }];
}

/** A mesh without a pod for the request answers 503; if the pods are assumed, the ticket's may be there. */
function endpointsOf({ differences, topology }: Translation, { got }: Observation): Difference[] {
  const details = got.details ?? got.body;
  if (!/no[_ ]healthy[_ ]upstream|cluster_not_found/.test(details)) return [];
  const assumed =
    topology.workloads.some(({ of }) => of.startsWith("the pods of")) ||
    differences.some(({ kind }) => kind === "service-assumed");
  return assumed ? [{ kind: "no-endpoint", details: details.trim().slice(0, 100), decides: "unknown" }] : [];
}

/** Whether an answer contradicts the decision. A denied gRPC request gets 200 with a grpc-status. */
function isOtherwise(decision: Decision, got: Observation["got"]): boolean {
  if (decision.verdict === "denied" && decision.by === got.by) return false;
  return contradicts(decision, got);
}

function hintsFor({ hints }: Translation, { got, explanation }: Observation): Hint[] {
  const rules = explanation?.rules ?? [];
  const forwarded = rules
    .flatMap(({ conditions }) => conditions)
    .find(({ field, got: has }) => field.kind === "remote-ip" && has.kind === "text");
  const sidecar = explanation?.listener?.name === "virtualInbound";
  return [
    ...hints,
    ...(got.by === "authentication" && rules.length > 0 ? [{ kind: "token-before-policy" } as const] : []),
    ...(sidecar && got.by === "authorization" && forwarded?.got.kind === "text"
      ? [{ kind: "forwarded-for-at-sidecar", trusted: forwarded.got.text } as const]
      : []),
    ...(got.by === "authorization" && got.status === 200 ? [{ kind: "grpc-answer", status: 7 } as const] : []),
    ...(hints.length === 0 && explanation?.decision.reason.kind === "not-allowed"
      ? [{ kind: "allow-refuses-the-rest" } as const]
      : []),
  ];
}

/**
 * The expectation of each cell of the exported scenario, or why there cannot be a scenario: a denial proves something only
 * beside an admitted request (harness/scenario/expand.ts).
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
      return { status, by };
    },
  };
}
