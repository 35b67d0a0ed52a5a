/** What a ticket does not show of its sender and its gateway, and whether a rule could decide otherwise if it were another. */

import { stagesOf, type Explanation, type Field, type RuleFact } from "../model/explanation.ts";
import type { ObjectRef } from "../model/finding.ts";
import type { Difference, Observation } from "../model/ticket.ts";
import { addressesIn, looksAtIdentity } from "./callers.ts";
import { isAtGateway } from "./services.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { isPolicy, refOf } from "./understood.ts";

/** @param elsewhere whether a policy is in force at another proxy on the way than the one whose rules are known */
export function openFactsOf(
  ticket: Ticket,
  translation: Translation,
  main: Observation,
  elsewhere: (object: ObjectRef) => boolean,
): Difference[] {
  return [
    ...addressesOf(ticket, main, elsewhere),
    ...accountsOf(ticket, translation, main, elsewhere),
    ...portsOf(ticket, translation, main),
  ];
}

/** If rules compare the client's address, it decides unless each rule has the same result for any other address. */
function addressesOf(
  { objects, request }: Ticket,
  { explanation }: Observation,
  elsewhere: (object: ObjectRef) => boolean,
): Difference[] {
  const policies = objects.filter((object) => isPolicy(object));
  const forwarded = request.headers.some(([name]) => name.toLowerCase() === "x-forwarded-for");
  return addressesIn(policies).map(({ object, fields, values }): Difference => {
    // A proxy that forwards a request has its own address.
    const foreign = values.every(isPublic) && (forwarded || request.sender !== undefined);
    const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
    const open = !read || elsewhere(object) || mayTurnIn(explanation, ["source-ip", "remote-ip"]);
    return { kind: "address", object, fields, decides: open && !foreign ? "unknown" : "no" };
  });
}

/** The ports where meshproof's ingress gateway listens. */
const GATEWAY_PORTS: readonly number[] = [8080, 8443];

/** The service account of meshproof's ingress gateway. */
const GATEWAY_ACCOUNT = "istio-ingressgateway-service-account";

/** If rules compare identities behind a gateway, the ticket's gateway may have another identity. */
function accountsOf(
  { objects }: Ticket,
  { topology }: Translation,
  { explanation }: Observation,
  elsewhere: (object: ObjectRef) => boolean,
): Difference[] {
  // The account and the ports of a Gateway of the Gateway API follow from its name and its listeners.
  if (topology.way.kind !== "gateway" || topology.way.api !== undefined) return [];
  const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
  const open = !read || mayTurnIn(explanation, ["principal"]);
  return objects.flatMap((object): Difference[] => {
    if (!isPolicy(object) || !looksAtIdentity(object)) return [];
    const named = JSON.stringify(object.spec).includes(`/ns/istio-system/sa/${GATEWAY_ACCOUNT}"`);
    const decides = (open || elsewhere(refOf(object))) && !named ? "unknown" : "no";
    return [{ kind: "gateway-account", object: refOf(object), account: `istio-system/${GATEWAY_ACCOUNT}`, decides }];
  });
}

/** If rules at the gateway compare the port, it decides: gateways listen on other ports than their Services, and on different ones. */
function portsOf({ objects }: Ticket, { topology }: Translation, { explanation }: Observation): Difference[] {
  if (topology.way.kind !== "gateway" || topology.way.api !== undefined) return [];
  const read = explanation?.filtersAsked === true && explanation.decision.verdict !== "undecided";
  const open = !read || mayTurnIn(explanation, ["port"]);
  const here = GATEWAY_PORTS;
  return objects.flatMap((object): Difference[] => {
    if (!isPolicy(object) || !isAtGateway(object, objects)) return [];
    if (!/"(not)?ports":|"destination\.port"/i.test(JSON.stringify(object.spec))) return [];
    return [{ kind: "gateway-port", object: refOf(object), here, decides: open ? "unknown" : "no" }];
  });
}

/** Whether a proxy that judges the request could decide otherwise if these fields had other values. */
function mayTurnIn(explanation: Explanation, fields: readonly Field["kind"][]): boolean {
  return stagesOf(explanation).some(({ rules }) => mayTurn(rules, fields));
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
