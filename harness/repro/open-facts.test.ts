import assert from "node:assert/strict";
import { it } from "node:test";
import type { Explanation } from "../model/explanation.ts";
import type { Observation } from "../model/ticket.ts";
import { deciding, ticket } from "./fixtures.ts";
import { openFactsOf } from "./open-facts.ts";
import { translate } from "./translate.ts";

const POLICY = (label: string, source: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: p, namespace: istio-system }
spec: { selector: { matchLabels: { ${label} } }, rules: [{ from: [{ source: { ${source} } }] }] }
`;
const GATEWAY = `---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: g, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
`;

it("an address that a policy at another proxy on the way compares may decide, although the known rules have none", () => {
  const given = ticket(POLICY("app: web", "remoteIpBlocks: [10.0.0.0/8]"));
  const explanation = { filtersAsked: true, decision: { verdict: "admitted" }, rules: [] } as unknown as Explanation;
  const of = (elsewhere: boolean): string[] =>
    openFactsOf(given, translate(given), { explanation } as Observation, () => elsewhere).map(
      ({ kind, decides }) => `${kind} ${decides}`,
    );
  assert.deepEqual(of(true), ["address unknown"]);
  assert.deepEqual(of(false), ["address no"]);
});

it("another label than the usual one of a gateway is the gateway's only if the ticket does not have both", () => {
  const POLICY_AT = (label: string): string => POLICY(label, 'principals: ["*"]');
  assert.deepEqual(deciding(translate(ticket(POLICY_AT("istio: ingress-gateway") + GATEWAY))), ["gateway unknown"]);
  assert.deepEqual(deciding(translate(ticket(POLICY_AT("istio: ingress-gateway")))), []);
  assert.deepEqual(deciding(translate(ticket(POLICY_AT("istio: ingressgateway") + GATEWAY))), []);
});
