import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine } from "./curl-line.ts";
import { ticket } from "./fixtures.ts";
import type { Ticket } from "./ticket.ts";
import { readClaims } from "./token.ts";
import { translate } from "./translate.ts";

const hints = (yaml: string, more: Partial<Ticket> = {}): string[] =>
  translate(ticket(yaml, { request: readCurlLine("curl http://shop.example/"), ...more })).hints.map(
    ({ kind }) => kind,
  );

const GATEWAY = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
---
`;

const TOKENS = (namespace: string, selector: string, more = ""): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: ${namespace} }
spec: { selector: { matchLabels: { ${selector} } }, jwtRules: [{ issuer: "https://idp.example"${more} }] }
---
`;

const ALLOW = (rules: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: allow, namespace: shop }
spec: { rules: ${rules} }
---
`;

const WHO = 'from: [{ source: { principals: ["cluster.local/ns/shop/sa/web"] } }]';
const WHAT = "to: [{ operation: { methods: [GET] } }]";

describe("a known trap", () => {
  it("is a gateway that removes the token for which a workload looks", () => {
    const gateway = (more: string): string =>
      GATEWAY + TOKENS("istio-system", "istio: ingressgateway", more) + TOKENS("shop", "app: shop");
    assert.deepEqual(hints(gateway("")), ["token-not-forwarded"]);
    assert.deepEqual(hints(gateway(", forwardOriginalToken: true")), []);
    assert.deepEqual(hints(GATEWAY + TOKENS("istio-system", "istio: ingressgateway")), []);
  });

  it("is a rule of who sends beside a rule of what is sent", () => {
    assert.deepEqual(hints(ALLOW(`[{ ${WHO} }, { ${WHAT} }]`)), ["hyphen-makes-or"]);
    assert.deepEqual(hints(ALLOW(`[{ ${WHO}, ${WHAT} }]`)), []);
    assert.deepEqual(hints(ALLOW(`[{ ${WHO} }, { ${WHO}, ${WHAT} }]`)), []);
  });

  it("is a nested claim that is written with a dot, a query in a path, and a method in small letters", () => {
    const groups = (key: string): string[] =>
      hints(ALLOW(`[{ when: [{ key: "request.auth.claims[${key}]", values: [admin] }] }]`), {
        tokens: [readClaims('{"iss":"https://me.example","realm":{"roles":["admin"]}}')],
      });
    assert.deepEqual(groups("realm.roles"), ["claim-is-nested"]);
    assert.deepEqual(groups("realm][roles"), []);
    assert.deepEqual(groups("realm.groups"), []);
    assert.deepEqual(hints(ALLOW('[{ to: [{ operation: { paths: ["/a?b=1"] } }] }]')), ["path-without-query"]);
    assert.deepEqual(hints(ALLOW("[{ to: [{ operation: { methods: [get] } }] }]")), ["method-case"]);
    assert.deepEqual(hints(ALLOW("[{ to: [{ operation: { methods: [GET], paths: [/a] } }] }]")), []);
  });

  it("is a star inside a principal", () => {
    assert.deepEqual(hints(ALLOW('[{ from: [{ source: { principals: ["cluster.local/ns/*/sa/web"] } }] }]')), [
      "star-inside",
    ]);
  });

  it("is a DestinationRule that turns off the mTLS that a PeerAuthentication demands", () => {
    const rule = (mode: string, strict: string): string => `
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: shop, namespace: shop }
spec: { host: shop, trafficPolicy: { tls: { mode: ${mode} } } }
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: shop }
spec: { mtls: { mode: ${strict} } }
`;
    assert.deepEqual(hints(rule("DISABLE", "STRICT")), ["tls-against-mtls"]);
    assert.deepEqual(hints(rule("ISTIO_MUTUAL", "STRICT")), []);
    assert.deepEqual(hints(rule("DISABLE", "PERMISSIVE")), []);
  });
});
