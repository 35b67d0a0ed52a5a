import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Bypass } from "../model/waypoint.ts";
import { readAnswer } from "./answer.ts";
import { readCurlLine, readRequest } from "./curl-line.ts";
import { deciding, ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";
import type { Ticket, Translation } from "./ticket.ts";
import { missingWaypoint } from "./waypoints.ts";

const API = "gateway.networking.k8s.io";

const namespace = (name: string, labels = "istio.io/dataplane-mode: ambient"): string => `
apiVersion: v1
kind: Namespace
metadata: { name: ${name}, labels: { ${labels} } }
---
`;

const service = (labels = "istio.io/use-waypoint: waypoint"): string => `
apiVersion: v1
kind: Service
metadata: { name: orders, namespace: shop, labels: { ${labels} } }
spec: { selector: { app: orders }, ports: [{ name: http, port: 80, targetPort: 8080 }] }
---
`;

const waypoint = (where = "shop", labels = "", listener = ""): string => `
apiVersion: ${API}/v1
kind: Gateway
metadata: { name: waypoint, namespace: ${where}, labels: { ${labels} } }
spec: { gatewayClassName: istio-waypoint, listeners: [{ name: mesh, port: 15008, protocol: HBONE${listener} }] }
---
`;

const policy = (spec: string, where = "shop", kind = "AuthorizationPolicy"): string => `
apiVersion: security.istio.io/v1
kind: ${kind}
metadata: { name: policy, namespace: ${where} }
spec: { ${spec} }
---
`;

const AT_SERVICE = "targetRefs: [{ group: '', kind: Service, name: orders }]";
const AMBIENT = namespace("shop") + namespace("web");
const IN_AMBIENT = AMBIENT + service() + waypoint();

const asked = (yaml: string, from: string | undefined = "web/shopper", more: Partial<Ticket> = {}): Translation =>
  translate(
    ticket(yaml, {
      request: readRequest("GET http://orders.shop/", []),
      ...(from !== "" && { from }),
      ...more,
    }),
  );

const past = (made: Translation): Bypass | undefined =>
  made.topology.passage?.kind === "past" ? made.topology.passage.because : undefined;

const standIn = ({ files }: Translation): string => files.get("workloads/ticket/ticket.yaml") ?? "";

describe("waypoints in tickets", () => {
  it("sends a client in ambient mode through the waypoint, with its own identity, and verifies the waypoint's", () => {
    const made = asked(IN_AMBIENT + policy(AT_SERVICE));
    assert.deepEqual(deciding(made), []);
    assert.deepEqual(made.topology.passage, {
      ...{ kind: "through", service: { namespace: "shop", name: "orders" }, port: 80, tunnel: true },
      waypoint: { namespace: "shop", name: "waypoint" },
      serves: [{ kind: "Service", namespace: "shop", name: "orders" }],
      labels: { "istio.io/use-waypoint": "waypoint" },
    });
    assert.match(standIn(made), /tunneling_config[^]*hostname: "%DOWNSTREAM_LOCAL_ADDRESS%"/);
    assert.match(standIn(made), /exact: spiffe:\/\/cluster.local\/ns\/shop\/sa\/waypoint/);
    assert.match(standIn(made), /address: waypoint.shop.svc.cluster.local/);
    assert.match(standIn(made), /serviceAccountName: shopper/);
    assert.deepEqual(
      made.topology.workloads.map(({ sidecar }) => sidecar),
      [false],
    );
    assert.match([...made.files].join(), /kind: Gateway\n[^]*gatewayClassName: istio-waypoint/);
  });

  it("keeps the labels of a namespace, a Service and a waypoint", () => {
    const made = asked(
      namespace("shop", "istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint") +
        namespace("web") +
        service("istio.io/ingress-use-waypoint: 'true'") +
        waypoint("shop", "istio.io/waypoint-for: all"),
    );
    assert.equal(made.topology.passage?.kind, "through");
    assert.match(standIn(made), /name: shop\n +labels:\n +istio-injection: \S+\n +istio.io\/use-waypoint: waypoint/);
    assert.match(standIn(made), /istio.io\/ingress-use-waypoint: "true"/);
    assert.match([...made.files].join(), /istio.io\/waypoint-for: all/);
  });

  for (const [what, yaml, because] of [
    ["no label", AMBIENT + service("app: orders") + waypoint(), "no-label"],
    ["a Service that opts out", IN_AMBIENT.replace("use-waypoint: waypoint", "use-waypoint: none"), "opted-out"],
    [
      "a namespace's label and a Service that opts out",
      namespace("shop", "istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint") +
        namespace("web") +
        service("istio.io/use-waypoint: none") +
        waypoint(),
      "opted-out",
    ],
    ["a wrong name", IN_AMBIENT.replace("use-waypoint: waypoint", "use-waypoint: way-point"), "no-such-waypoint"],
    ["a waypoint in another namespace", AMBIENT + service() + waypoint("web"), "no-such-waypoint"],
    [
      "another namespace that is not allowed",
      AMBIENT + service("istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: web") + waypoint("web"),
      "not-allowed",
    ],
    [
      "a waypoint for workloads",
      AMBIENT + service() + waypoint("shop", "istio.io/waypoint-for: workload"),
      "not-for-services",
    ],
    [
      "a waypoint for nothing",
      AMBIENT + service() + waypoint("shop", "istio.io/waypoint-for: none"),
      "not-for-services",
    ],
  ] as const)
    it(`passes the waypoint by: ${what}`, () => {
      const made = asked(yaml + policy(AT_SERVICE));
      assert.deepEqual([past(made), deciding(made)], [because, []]);
      assert.doesNotMatch(standIn(made), /tunneling_config/);
    });

  it("reaches a waypoint of another namespace that allows it", () => {
    const made = asked(
      AMBIENT +
        service("istio.io/use-waypoint: waypoint, istio.io/use-waypoint-namespace: web") +
        waypoint("web", "", ", allowedRoutes: { namespaces: { from: All } }"),
    );
    assert.equal(made.topology.passage?.kind, "through");
    assert.deepEqual(deciding(made), []);
  });

  it("reads neither a label of the pods nor one of the Deployment for a request to a Service", () => {
    const deployment = `
apiVersion: apps/v1
kind: Deployment
metadata: { name: orders, namespace: shop, labels: { istio.io/use-waypoint: waypoint } }
spec:
  selector: { matchLabels: { app: orders } }
  template:
    metadata: { labels: { app: orders, istio.io/use-waypoint: waypoint } }
    spec: { containers: [{ name: orders, image: orders }] }
`;
    const made = asked(AMBIENT + service("app: orders") + waypoint() + policy(AT_SERVICE) + deployment);
    assert.deepEqual([past(made), deciding(made)], ["no-label", []]);
  });

  it("lets clients with a sidecar and clients outside of the mesh pass it by", () => {
    const injected = namespace("shop") + namespace("web", "istio-injection: enabled") + service() + waypoint();
    assert.equal(past(asked(injected)), "sidecar");
    assert.equal(past(asked(IN_AMBIENT, "outside")), "outside");
  });

  it("sends through a gateway, and through the waypoint only with ingress-use-waypoint", () => {
    const route = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: edge, namespace: shop }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: { name: orders, namespace: shop }
spec: { hosts: ["*"], gateways: [edge], http: [{ route: [{ destination: { host: orders } }] }] }
---
`;
    const through = (labels: string): Translation =>
      asked(AMBIENT + service(labels) + waypoint() + route, "", {
        request: readCurlLine("curl http://shop.example.com/"),
      });
    assert.equal(past(through("istio.io/use-waypoint: waypoint")), "gateway");
    const made = through("istio.io/use-waypoint: waypoint, istio.io/ingress-use-waypoint: 'true'");
    const jwt = policy(`${AT_SERVICE}, jwtRules: [{ issuer: https://a.example }]`, "shop", "RequestAuthentication");
    const hinted = asked(IN_AMBIENT + route + jwt, "", { request: readCurlLine("curl http://shop.example.com/") });
    assert.deepEqual(hinted.hints, []);
    assert.deepEqual(
      [made.topology.passage?.kind, made.topology.passage?.kind === "through" && made.topology.passage.tunnel],
      ["through", false],
    );
    assert.deepEqual(deciding(made), []);
  });

  it("does not take a waypoint for a gateway", () => {
    const made = asked(IN_AMBIENT + policy(`targetRefs: [{ group: ${API}, kind: Gateway, name: waypoint }]`), "", {
      request: readRequest("GET /", []),
    });
    assert.equal(made.topology.way.kind, "service");
  });

  it("leaves open what the namespace's labels decide, if the ticket does not show them", () => {
    const bare = service("app: orders") + waypoint() + namespace("web");
    assert.deepEqual(deciding(asked(bare)), ["waypoint-open unknown"]);
    // Who sends is asked both ways.
    const unseen = asked(namespace("shop") + service() + waypoint());
    assert.deepEqual(
      unseen.topology.others.map(({ open }) => open),
      ["ambient"],
    );
  });

  it("asks for a waypoint that the ticket names and does not show", () => {
    assert.deepEqual(deciding(asked(AMBIENT + service() + policy(AT_SERVICE))), ["gateway-assumed unknown"]);
  });

  for (const [what, spec, kind] of [
    ["ALLOW with a selector", "selector: { matchLabels: { app: orders } }, rules: [{}]", undefined],
    ["ALLOW for the namespace", "rules: [{ to: [{ operation: { methods: [GET] } }] }]", undefined],
    ["DENY", "action: DENY, rules: [{ from: [{ source: { namespaces: [other] } }] }]", undefined],
    [
      "ALLOW of the client, which ztunnel does not see",
      "rules: [{ from: [{ source: { principals: [cluster.local/ns/web/sa/shopper] } }] }]",
      undefined,
    ],
  ] as const)
    it(`refuses what ztunnel would enforce: ${what}`, () => {
      assert.deepEqual(deciding(asked(IN_AMBIENT + policy(spec, "shop", kind))), ["ztunnel unknown"]);
    });

  for (const [what, spec, kind, where] of [
    [
      "a RequestAuthentication with a selector",
      "selector: { matchLabels: { app: orders } }, jwtRules: []",
      "RequestAuthentication",
      "shop",
    ],
    [
      "ALLOW of the waypoint",
      "rules: [{ from: [{ source: { principals: [cluster.local/ns/shop/sa/waypoint] } }] }]",
      undefined,
      "shop",
    ],
    ["another workload's policy", "selector: { matchLabels: { app: other } }, rules: [{}]", undefined, "shop"],
    ["another namespace's policy", "rules: [{}]", undefined, "web"],
    ["STRICT, as a waypoint sends by HBONE", "mtls: { mode: STRICT }", "PeerAuthentication", "shop"],
  ] as const)
    it(`knows that ztunnel does not refuse by ${what}`, () =>
      assert.deepEqual(deciding(asked(IN_AMBIENT + policy(spec, where, kind))), []));

  it("refuses STRICT for a client that is not in ambient mode", () => {
    const strict = policy("mtls: { mode: STRICT }", "shop", "PeerAuthentication");
    assert.deepEqual(deciding(asked(IN_AMBIENT + strict, "outside")), ["ztunnel unknown"]);
  });

  it("refuses policies at a sidecar behind a waypoint", () => {
    const yaml =
      namespace("shop", "istio-injection: enabled") + namespace("web") + service() + waypoint() + policy("rules: [{}]");
    assert.deepEqual(deciding(asked(yaml)), ["sidecar-behind-waypoint unknown"]);
  });

  it("says which policies no waypoint enforces, and which fields ztunnel does not read", () => {
    const made = asked(
      IN_AMBIENT +
        policy("selector: { matchLabels: { app: orders } }, rules: [{ to: [{ operation: { paths: [/a] } }] }]"),
    );
    assert.deepEqual(
      made.hints.flatMap((hint) => (/waypoint|ztunnel/.test(hint.kind) ? [hint.kind] : [])),
      ["not-at-waypoint", "ztunnel-drops-http"],
    );
  });

  it("refuses a headless Service behind a waypoint, and a waypoint's own annotations", () => {
    assert.deepEqual(deciding(asked(IN_AMBIENT.replace("spec: { selector", "spec: { clusterIP: None, selector"))), [
      "part-left-out unknown",
    ]);
    assert.deepEqual(
      deciding(
        asked(
          IN_AMBIENT.replace(
            "metadata: { name: waypoint,",
            "metadata: { name: waypoint, annotations: { ambient.istio.io/waypoint-inbound-binding: PROXY/15088 },",
          ),
        ),
      ),
      ["field-left-out unknown"],
    );
  });

  it("exports what a gateway sends through a waypoint, and says of the rest why a scenario cannot have it", () => {
    const gateway = `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: front, namespace: shop }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["*"] }] }
---
`;
    const both = "istio.io/use-waypoint: waypoint, istio.io/ingress-use-waypoint: 'true'";
    const rest = waypoint() + policy(AT_SERVICE);
    const host = { request: readRequest("GET http://orders.example.com/", []) };
    const why = (yaml: string, from: string): string | undefined => {
      const { exported } = from === "gateway" ? asked(yaml + rest, from, host) : asked(yaml + rest, from);
      return "why" in exported ? exported.why : undefined;
    };
    const made = asked(AMBIENT + service(both) + gateway + rest, "gateway", host);
    assert.ok("files" in made.exported, JSON.stringify(made.exported));
    const text = made.scenario(() => ({ status: 200, by: "workload" }), true);
    assert.match(text, /features:[^]*- waypoint[^]*through: waypoint\/waypoint/);
    const spaces = namespace("shop", `istio.io/dataplane-mode: ambient, ${both}`);
    assert.match(
      why(spaces + service("app: orders") + gateway, "gateway") ?? "",
      /namespaces of a scenario have no labels/,
    );
    assert.match(why(AMBIENT + service(both), "web/shopper") ?? "", /no client in ambient mode/);
    assert.match(why(AMBIENT + service(), "outside") ?? "", /hold at no proxy/);
  });

  it("names a waypoint that a mesh cannot have", () => {
    const { objects } = ticket(IN_AMBIENT);
    const refused = { kind: "Gateway", namespace: "shop", name: "waypoint" };
    assert.deepEqual(missingWaypoint(objects, { waypoints: false }), refused);
    assert.deepEqual(missingWaypoint(objects, {}), refused);
    assert.equal(missingWaypoint(objects, { waypoints: true }), undefined);
    assert.equal(missingWaypoint(ticket(service()).objects, {}), undefined);
  });

  it("believes no answer that did not pass the waypoint, and says why one passes it by", () => {
    const of = (yaml: string, from: string, passed?: boolean): ReturnType<typeof readAnswer> => {
      const given = ticket(yaml, { request: readRequest("GET http://orders.shop/", []), from });
      const translation = translate(given);
      const got = { status: 200, by: "workload" as const, body: "", headers: {}, totalMs: 1 };
      const observations = translation.columns.map((_, column) => ({
        ...{ curl: "curl", settled: true, got, cell: { matrix: 0, row: 0, column } },
        request: { from: "sleep", to: "orders", method: "GET", url: "http://orders.shop/", tokens: [] },
        ...(passed !== undefined && { passed }),
      }));
      const asked = { id: "a", tool: { name: "meshproof", version: "1" }, startedAt: "", command: "" };
      const versions = { kubernetes: "", istio: "", envoy: "" };
      return readAnswer({ ...asked, versions, objects: [], observations }, translation, given, {});
    };
    const yaml = IN_AMBIENT + policy(AT_SERVICE);
    assert.equal(of(yaml, "web/shopper", true).reproduced, true);
    const lost = of(yaml, "web/shopper", false);
    assert.deepEqual([lost.reproduced, lost.differences[0]?.kind], [false, "not-through"]);
    assert.deepEqual(of(yaml, "outside").cause, {
      ...{ kind: "bypasses-waypoint", service: "shop/orders", waypoint: "shop/waypoint", because: "outside" },
      policies: [{ kind: "AuthorizationPolicy", namespace: "shop", name: "policy" }],
    });
  });
});
