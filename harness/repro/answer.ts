/** Turns the observations of a translated ticket into its answer. Pure. */

import { isDeepStrictEqual } from "node:util";
import type { ApiWarning } from "../mesh/api-warnings.ts";
import { contradicts, type Decision, type Field, type RuleFact } from "../model/explanation.ts";
import type { TicketNote } from "../model/cause.ts";
import type { ClusterInfo } from "../model/cluster.ts";
import type { AppliedObject } from "../model/result.ts";
import type { Expectation } from "../model/scenario.ts";
import type {
  Answered,
  Caller,
  Cell,
  Difference,
  Hint,
  Observation,
  Outcome,
  ReproAnswer,
  Seen,
} from "../model/ticket.ts";
import type { TicketRequest } from "./curl-line.ts";
import { findCause } from "./cause.ts";
import { agrees, isSeen } from "./outcome.ts";
import { STAND_IN } from "./stand-in.ts";
import { addressesIn, looksAtIdentity } from "./callers.ts";
import { isAtGateway } from "./services.ts";
import { isPolicy, refOf } from "./understood.ts";
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
    ...(undecided ? [{ kind: "undecided", decision: explanation.decision } as const] : []),
    ...(disputed ? [{ kind: "disputed", decision: explanation.decision } as const] : []),
  ];
  const told = main.explanation?.filtersAsked === true && !undecided ? main.explanation : undefined;
  const others = observations.filter(({ cell }) => cell === undefined);
  const differences = [
    ...translation.differences.map((one) => authorizerAnswered(one, main.got)),
    ...translation.topology.others.flatMap(({ caller, open }, index): Difference[] => {
      const other = others[index];
      return other === undefined ? [] : [compareCallers(caller, open, main.got, other.got)];
    }),
    ...[
      ...addressesOf(ticket, main),
      ...accountsOf(ticket, translation, main),
      ...portsOf(ticket, translation, main),
    ].map(
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
    ...(told && { inForce: { providers: told.providers, rules: told.rules } }),
    notes,
    differences,
    hints: hintsFor(translation, main),
    versions,
    ...(Object.keys(mesh).length > 0 && { mesh }),
    applied: objects.map((object) => ({ ...object, file: object.file.replace(/^.*\//, "") })),
    standIn: translation.files.get(`workloads/${STAND_IN}/${STAND_IN}.yaml`) ?? "",
  };
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

/** If rules compare the client's address, it decides unless each rule has the same result for any other address. */
function addressesOf({ objects, request }: Ticket, { explanation }: Observation): Difference[] {
  const policies = objects.filter((object) => isPolicy(object));
  const forwarded = request.headers.some(([name]) => name.toLowerCase() === "x-forwarded-for");
  return addressesIn(policies).map(({ object, fields, values }): Difference => {
    // A proxy that forwards a request has its own address.
    const elsewhere = values.every(isPublic) && (forwarded || request.sender !== undefined);
    const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
    const open = !read || mayTurn(explanation.rules, ["source-ip", "remote-ip"]);
    return { kind: "address", object, fields, decides: open && !elsewhere ? "unknown" : "no" };
  });
}

/** The ports where meshproof's ingress gateway listens. */
const GATEWAY_PORTS: readonly number[] = [8080, 8443];

/** The service account of meshproof's ingress gateway. */
const GATEWAY_ACCOUNT = "istio-ingressgateway-service-account";

/** If rules compare identities behind a gateway, the ticket's gateway may have another identity. */
function accountsOf({ objects }: Ticket, { topology }: Translation, { explanation }: Observation): Difference[] {
  // The account and the ports of a Gateway of the Gateway API follow from its name and its listeners.
  if (topology.way.kind !== "gateway" || topology.way.api !== undefined) return [];
  const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
  const open = !read || mayTurn(explanation.rules, ["principal"]);
  return objects.flatMap((object): Difference[] => {
    if (!isPolicy(object) || !looksAtIdentity(object)) return [];
    const named = JSON.stringify(object.spec).includes(`/ns/istio-system/sa/${GATEWAY_ACCOUNT}"`);
    const decides = open && !named ? "unknown" : "no";
    return [{ kind: "gateway-account", object: refOf(object), account: `istio-system/${GATEWAY_ACCOUNT}`, decides }];
  });
}

/** If rules at the gateway compare the port, it decides: gateways listen on other ports than their Services, and on different ones. */
function portsOf({ objects }: Ticket, { topology }: Translation, { explanation }: Observation): Difference[] {
  if (topology.way.kind !== "gateway" || topology.way.api !== undefined) return [];
  const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
  const open = !read || mayTurn(explanation.rules, ["port"]);
  const here = GATEWAY_PORTS;
  return objects.flatMap((object): Difference[] => {
    if (!isPolicy(object) || !isAtGateway(object, objects)) return [];
    if (!/"(not)?ports":|"destination\.port"/i.test(JSON.stringify(object.spec))) return [];
    return [{ kind: "gateway-port", object: refOf(object), here, decides: open ? "unknown" : "no" }];
  });
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

/** Whether the rules could decide otherwise if these fields had other values. */
function mayTurn(rules: readonly RuleFact[], fields: readonly Field["kind"][]): boolean {
  const inForce = rules.filter(({ dryRun }) => !dryRun);
  // One rule that denies is enough, and one that allows, whatever the other rules of that action do.
  const sure = (action: RuleFact["action"]): boolean =>
    inForce.some((rule) => rule.action === action && rule.matched === true && !turns(rule, fields));
  return inForce.some(
    (rule) =>
      turns(rule, fields) && !(rule.action !== "CUSTOM" && sure("DENY")) && !(rule.action === "ALLOW" && sure("ALLOW")),
  );
}

/** Whether a rule could have another result if these fields had other values. */
function turns({ matched, conditions }: RuleFact, fields: readonly Field["kind"][]): boolean {
  const about = conditions.filter(({ field }) => fields.includes(field.kind));
  if (matched === "undecided") return true;
  const beside = ALTERNATIVES.find((kinds) => fields.every((kind) => kinds.includes(kind))) ?? fields;
  return about.length > 0 && (matched || conditions.every(({ field }) => beside.includes(field.kind)));
}

/** What sources, and what operations of a rule compare: the one that a request fails may stand beside the other (`from`, `to`), and not only below it. */
const ALTERNATIVES: readonly (readonly Field["kind"][])[] = [
  ["source-ip", "remote-ip", "principal", "claim"],
  ["port", "path", "method", "host"],
];

/** Whether a block has only public addresses (not RFC 1918, 6598, 3927), which no pod, node or internal load balancer has, and is small. */
function isPublic(block: string): boolean {
  const [address = "", bits = "32"] = block.split("/");
  return (
    /^\d+\.\d+\.\d+\.\d+$/.test(address) &&
    Number(bits) >= 8 &&
    !/^(0|10|127)\.|^192\.168\.|^172\.(1[6-9]|2\d|3[01])\.|^100\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|^169\.254\./.test(
      address,
    )
  );
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
