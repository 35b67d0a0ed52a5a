import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine } from "./curl-line.ts";
import { deciding, ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";
import type { Translation } from "./ticket.ts";

const API = "gateway.networking.k8s.io";

const gateway = (name: string, listeners: string, more = ""): string => `
apiVersion: ${API}/v1
kind: Gateway
metadata: { name: ${name}, namespace: edge, labels: { tier: public } }
spec: { gatewayClassName: istio, listeners: [${listeners}]${more} }
---
`;

const HTTP = "{ name: http, port: 8080, protocol: HTTP }";

const route = (parent: string, host = ""): string => `
apiVersion: ${API}/v1
kind: HTTPRoute
metadata: { name: ${parent}-route, namespace: shop }
spec:
  parentRefs: [{ name: ${parent}, namespace: edge }]
  ${host === "" ? "" : `hostnames: ["${host}"]`}
  rules: [{ backendRefs: [{ name: shop, port: 80 }] }]
---
`;

const policy = (where: string, spec: string): string => `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: policy, namespace: ${where} }
spec: { ${spec} }
---
`;

const TARGET = `targetRefs: [{ group: ${API}, kind: Gateway, name: main }]`;

const asked = (yaml: string, curl = "curl http://shop.example.com/"): Translation =>
  translate(ticket(yaml, { request: readCurlLine(curl) }));

const applied = ({ files }: Translation, kind: RegExp): string =>
  [...files].flatMap(([file, text]) => (kind.test(file) ? [text] : [])).join("---\n");

describe("gateways of the Gateway API in tickets", () => {
  it("applies Gateway, routes and policies as they are, with a Service that is no load balancer", () => {
    const made = asked(gateway("main", HTTP) + route("main", "shop.example.com") + policy("edge", TARGET));
    assert.deepEqual(made.topology.way, {
      ...{ kind: "gateway", tls: false, passthrough: false },
      api: { namespace: "edge", name: "main", port: 8080 },
    });
    assert.match(applied(made, /-gateway-main/), /service-type: ClusterIP[^]*port: 8080/);
    assert.match(applied(made, /-gateway-main/), /tier: public/);
    assert.match(applied(made, /-authorizationpolicy-/), /namespace: edge[^]*targetRefs/);
    assert.match(applied(made, /ticket\.yaml/), /kind: Service[^]*name: shop\n +namespace: shop/);
    assert.match(
      made.scenario(() => ({ status: 200, by: "workload" })),
      /to: gateway\/main\n[^]*gateway-api|gateway-api[^]*to: gateway\/main\n/,
    );
    assert.deepEqual(deciding(made), []);
  });

  it("takes the Gateway and the listener that the request's host, scheme and port name", () => {
    const both =
      gateway("main", HTTP) + gateway("other", HTTP) + route("main", "a.example") + route("other", "b.example");
    const way = (made: Translation) => (made.topology.way.kind === "gateway" ? made.topology.way : undefined);
    assert.equal(way(asked(both, "curl http://b.example/"))?.api?.name, "other");
    const tls = "{ name: tls, port: 443, protocol: HTTPS, tls: { certificateRefs: [{ name: cert }] } }";
    const secured = asked(gateway("main", `${HTTP}, ${tls}`) + route("main"), "curl https://shop.example.com/");
    assert.deepEqual([way(secured)?.tls, way(secured)?.api?.port, way(secured)?.api?.listener], [true, 443, "tls"]);
    assert.deepEqual(secured.certificate.secrets, [{ namespace: "edge", name: "cert" }]);
    const admin = "{ name: admin, port: 9000, protocol: HTTP }";
    assert.equal(
      way(asked(gateway("main", `${HTTP}, ${admin}`) + route("main"), "curl http://s.example:9000/"))?.api?.port,
      9000,
    );
    assert.equal(
      way(asked(gateway("main", HTTP) + route("main"), "curl http://main-istio.edge:8080/"))?.api?.name,
      "main",
    );
  });

  it("leaves open which of two Gateways or listeners it is", () => {
    const two = gateway("main", HTTP) + gateway("other", HTTP) + route("main") + route("other");
    assert.deepEqual(deciding(asked(two)), ["workload-open unknown"]);
    const admin = "{ name: admin, port: 9000, protocol: HTTP }";
    assert.deepEqual(deciding(asked(gateway("main", `${HTTP}, ${admin}`) + route("main"))), ["workload-open unknown"]);
  });

  it("adds a route where the ticket has none, and a grant where it crosses namespaces", () => {
    const made = asked(gateway("main", HTTP) + policy("shop", "selector: { matchLabels: { app: shop } }"));
    assert.match(applied(made, /-httproute-/), /namespace: edge[^]*name: workload\n +namespace: shop/);
    assert.match(applied(made, /-referencegrant-/), /namespace: shop/);
  });

  it("adds a Gateway that a route names; one that only a policy names may be elsewhere", () => {
    assert.deepEqual(deciding(asked(route("main") + policy("edge", TARGET))), []);
    assert.deepEqual(deciding(asked(policy("edge", TARGET))), ["gateway-assumed unknown"]);
  });

  it("does not make again what istiod makes for a Gateway", () => {
    const own = `
apiVersion: v1
kind: Service
metadata: { name: main-istio, namespace: edge }
spec: { type: LoadBalancer, ports: [{ name: http, port: 80 }] }
`;
    const made = asked(gateway("main", HTTP) + route("main") + own);
    assert.deepEqual(deciding(made), []);
    assert.doesNotMatch(applied(made, /ticket\.yaml/), /main-istio/);
  });

  for (const [what, yaml] of [
    ["another class", gateway("main", HTTP).replace("gatewayClassName: istio", "gatewayClassName: nginx")],
    ["a waypoint", gateway("main", HTTP).replace("gatewayClassName: istio", "gatewayClassName: istio-waypoint")],
    ["a gateway at another address", gateway("main", HTTP, ', addresses: [{ value: "a.b" }]')],
    [
      "a listener for TLS that it does not end",
      gateway("main", "{ name: tls, port: 443, protocol: TLS }") + route("main"),
    ],
    ["client certificates", gateway("main", "{ name: s, port: 443, protocol: HTTPS, tls: { options: { a: b } } }")],
    ["a policy for a waypoint", policy("shop", 'targetRefs: [{ group: "", kind: Service, name: shop }]')],
    ["a kind that meshproof does not know", gateway("main", HTTP).replace("kind: Gateway", "kind: TLSRoute")],
  ] as const)
    it(`refuses ${what}`, () => {
      const found = deciding(asked(yaml, "curl https://shop.example.com/")).join();
      assert.match(found, /((object|field|part)-left-out|waypoint-open) unknown/);
    });

  it("leaves open whether a workload behind a gateway has a sidecar, if a policy without a selector would hold there", () => {
    const open = (yaml: string): number =>
      asked(gateway("main", HTTP) + route("main") + yaml).topology.openSidecars.length;
    assert.equal(open(policy("shop", "")), 1);
    assert.equal(open(policy("edge", TARGET)), 0);
    assert.equal(asked(policy("shop", "")).topology.openSidecars.length, 0);
    assert.equal(
      open(
        policy("shop", "") +
          policy("shop", "selector: { matchLabels: { app: shop } }").replace("name: policy", "name: b"),
      ),
      0,
    );
    assert.equal(open(`${policy("shop", "")}apiVersion: v1\nkind: Namespace\nmetadata: { name: shop }\n`), 0);
  });
});
