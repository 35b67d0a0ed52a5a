import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { deciding, ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";

const open = (yaml: string): string[] => deciding(translate(ticket(yaml)));

const POLICY = (value: string): string => `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: { name: jwt, namespace: shop }
spec: { jwtRules: [{ issuer: ${JSON.stringify(value)}, jwksUri: "https://idp.example/keys" }] }
`;

const PODS = (metadata: object): string => `
apiVersion: apps/v1
kind: Deployment
metadata: { name: pods, namespace: shop }
spec: { template: { metadata: ${JSON.stringify(metadata)}, spec: { containers: [{ name: app, image: app }] } } }
`;

describe("what is understood of a ticket", () => {
  for (const value of ["{{ .Values.issuer }}", "${ISSUER}", "$(ISSUER)", "$ISSUER", "https://<your-domain>/"])
    it(`does not take ${value} for a value`, () => {
      assert.deepEqual(open(POLICY(value)), ["value-open unknown"]);
      const written = [...translate(ticket(POLICY(value))).files.values()].join("\n");
      assert.doesNotMatch(written, /\$\{ISSUER\}/, "meshproof would substitute it");
    });

  it("does not know which pods have a label that istiod or the injector sets", () => {
    const of = (label: string): string =>
      `${POLICY("https://idp.example")}`.replace("spec: {", `spec: { selector: { matchLabels: { "${label}": shop } },`);
    assert.deepEqual(open(of("istio.io/gateway-name")), ["field-left-out unknown"]);
    assert.deepEqual(open(of("service.istio.io/canonical-name")), ["field-left-out unknown"]);
    assert.deepEqual(open(of("app")), []);
  });

  it("takes path templates and prices for values", () => {
    assert.deepEqual(open(POLICY("https://idp.example/{*}/$metadata")), []);
  });

  it("knows that gateways with a config of their own are not stand-ins, and that pods in ambient mode may be behind a waypoint", () => {
    assert.deepEqual(open(PODS({ labels: { "istio.io/dataplane-mode": "ambient" } })), ["waypoint-open unknown"]);
    const labels = { istio: "ingressgateway" };
    const annotations = { "proxy.istio.io/config": "{}" };
    assert.deepEqual(open(PODS({ labels, annotations })), ["field-left-out unknown"]);
    assert.deepEqual(open(PODS({ labels: { app: "shop" }, annotations })), []);
  });
});
