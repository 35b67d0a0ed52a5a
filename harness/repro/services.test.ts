import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Labels } from "../model/finding.ts";
import type { Difference } from "../model/ticket.ts";
import { readObjects } from "./read-objects.ts";
import {
  fallbackOf,
  fitsHost,
  inCluster,
  isAtGateway,
  isOf,
  keysFrom,
  labelsAssumed,
  podsOf,
  portAssumed,
  virtualRoutesOf,
  serverModes,
  targetPortsOf,
  workloadsOf,
  type Service,
  type Workload,
} from "./services.ts";
import type { TicketObject } from "./ticket.ts";

const read = (yaml: string): readonly TicketObject[] => readObjects(yaml, "t.yaml");
const nsOf = ({ metadata }: TicketObject): string => metadata.namespace ?? "shop";
const object = (kind: string, spec: string, metadata = "name: a, namespace: shop"): TicketObject => {
  const groups: Record<string, string> = {
    ...{ AuthorizationPolicy: "security.istio.io/v1", RequestAuthentication: "security.istio.io/v1" },
    ...{ PeerAuthentication: "security.istio.io/v1", Gateway: "networking.istio.io/v1" },
    ...{ VirtualService: "networking.istio.io/v1", Deployment: "apps/v1" },
  };
  const [found] = read(
    `apiVersion: ${groups[kind] ?? "v1"}\nkind: ${kind}\nmetadata: { ${metadata} }\nspec: ${spec}\n`,
  );
  return found!;
};
const selecting = (labels: string, metadata?: string): TicketObject =>
  object("AuthorizationPolicy", `{ selector: { matchLabels: ${labels} } }`, metadata);
const SHOP: Service = { namespace: "shop", name: "shop", selector: { app: "shop" }, ports: [] };

describe("the pods of a ticket", () => {
  const only = (one: TicketObject, injected = true): Workload | undefined =>
    workloadsOf([one], nsOf, () => injected)[0];

  it("are read from the template, with account, ports and Istio's annotations", () => {
    const found = only(
      object(
        "Deployment",
        `{ template: { metadata: { labels: { app: x }, annotations: { sidecar.istio.io/a: "1", other: "2" } },
           spec: { serviceAccountName: me, containers: [{ ports: [{ name: web, containerPort: 80 }] }, { ports: [{ containerPort: 81 }] }] } } }`,
      ),
    );
    assert.deepEqual(found, {
      ...{
        namespace: "shop",
        name: "a",
        of: "Deployment a",
        labels: { app: "x" },
        serviceAccount: "me",
        sidecar: true,
      },
      ...{
        annotations: { "sidecar.istio.io/a": "1" },
        ports: [{ name: "web", containerPort: 80 }, { containerPort: 81 }],
      },
    });
    assert.equal(only(object("Pod", "{}"))?.serviceAccount, "default");
  });

  it("have a sidecar as their own label or annotation says, else as their namespace does", () => {
    const pod = (more: string, injected: boolean): boolean | undefined =>
      only(object("Pod", "{}", `name: a, namespace: shop${more}`), injected)?.sidecar;
    assert.deepEqual([pod("", true), pod("", false)], [true, false]);
    assert.equal(pod(`, labels: { sidecar.istio.io/inject: "false" }`, true), false);
    assert.equal(pod(`, annotations: { sidecar.istio.io/inject: "true" }`, false), true);
    const both = `, labels: { sidecar.istio.io/inject: "false" }, annotations: { sidecar.istio.io/inject: "true" }`;
    assert.equal(pod(both, true), false, "the label decides");
  });

  it("do not contain the mesh's own", () => {
    assert.equal(only(object("Deployment", "{}", "name: istio-ingressgateway, namespace: istio-system")), undefined);
    assert.equal(only(object("Deployment", "{}", "name: ingress, namespace: shop"))?.name, "ingress");
  });

  it("belong to a Service of their namespace whose whole selector they have", () => {
    const pod = only(object("Pod", "{}", "name: a, namespace: shop, labels: { app: shop, version: v1 }"))!;
    const isSelected = (selector: Labels): boolean => isOf({ ...SHOP, selector }, pod);
    assert.ok(isSelected({ app: "shop" }));
    assert.ok(!isSelected({ app: "shop", version: "v2" }));
    assert.ok(!isSelected({}));
    assert.equal(isOf({ ...SHOP, namespace: "other" }, pod), false);
  });

  it("serve a Service's target ports, by number, by name, or by the port itself", () => {
    const pod = { ports: [{ name: "web", containerPort: 9090 }] } as unknown as Workload;
    const ports = [{ port: 80, targetPort: 81 }, { port: 80, targetPort: "web" }, { port: 80 }];
    assert.deepEqual(targetPortsOf({ ...SHOP, ports }, pod), [81, 9090, 80]);
  });
});

describe("what a ticket does not show", () => {
  it("of namespaces is that of the other objects, else of the host, and may decide only if there are others", () => {
    const fallback = (yaml: TicketObject[], host = ""): unknown[] => {
      const differences: Difference[] = [];
      return [fallbackOf(yaml, host, differences), ...differences.map(({ decides }) => decides)];
    };
    const [without, inRoot] = [object("Pod", "{}", "name: a"), object("Pod", "{}", "name: b, namespace: istio-system")];
    assert.deepEqual(fallback([object("Pod", "{}")]), ["default"]);
    assert.deepEqual(fallback([without, object("Pod", "{}", "name: b, namespace: apps")], "x.jobs"), [
      "apps",
      "unknown",
    ]);
    assert.deepEqual(fallback([without, inRoot], "x.jobs.svc.cluster.local"), ["jobs", "no"]);
    assert.deepEqual(fallback([without], "example.com:80"), ["default", "no"]);
  });

  it("of a Service's pods gets the labels that policies select, which may be wrong", () => {
    const differences: Difference[] = [];
    const policies = [
      selecting("{ app: shop, version: v1 }"),
      selecting("{ app: other, tier: x }", "name: b, namespace: shop"),
      selecting("{ app: shop, zone: z }", "name: c, namespace: other"),
      selecting("{ tier: y }", "name: d, namespace: shop"),
    ];
    const service = { ...SHOP, object: object("Service", "{}"), ports: [{ port: 80, targetPort: 8080 }] };
    const found = podsOf(service, policies, nsOf, () => false, differences);
    assert.deepEqual(found.labels, { app: "shop", version: "v1" });
    assert.deepEqual([found.sidecar, found.ports], [false, [{ containerPort: 8080 }]]);
    assert.deepEqual(
      differences.map((one) => one.kind === "label-assumed" && [one.label, one.by.name, one.decides]),
      [["version=v1", "a", "unknown"]],
    );
  });

  it("of a workload is open where policies select several, unless one has its name", () => {
    const assumed = (policies: TicketObject[], workloads: Workload[] = [], name = "workload") => {
      const differences: Difference[] = [];
      return [labelsAssumed(policies, workloads, "shop", nsOf, name, differences), differences.length];
    };
    const both = [selecting("{ app: a }"), selecting("{ app: b }", "name: b, namespace: shop")];
    assert.deepEqual(assumed(both), [{ app: "a" }, 1]);
    assert.deepEqual(assumed(both, [], "b"), [{ app: "b" }, 0]);
    assert.deepEqual(assumed([]), [{ app: "workload" }, 0]);
    assert.deepEqual(assumed([selecting("{ app: c }", "name: c, namespace: other")]), [{ app: "workload" }, 0]);
    const shown = [{ namespace: "shop", name: "x", labels: { app: "x" } } as unknown as Workload];
    assert.deepEqual(assumed(both, shown), [{ app: "x" }, 0]);
  });

  it("of a port is the first that policies name, which may be wrong", () => {
    const port = (kind: string, spec: string): unknown => {
      const differences: Difference[] = [];
      const found = portAssumed([object(kind, spec)], differences);
      return found === undefined ? differences : [found, differences[0]?.decides];
    };
    const rules = (operation: string): string => `{ rules: [{ to: [{ operation: ${operation} }] }] }`;
    assert.deepEqual(port("AuthorizationPolicy", rules(`{ ports: ["9000"] }`)), [9000, "unknown"]);
    assert.deepEqual(port("AuthorizationPolicy", rules(`{ notPorts: ["9001"] }`)), [9001, "unknown"]);
    assert.deepEqual(port("PeerAuthentication", "{ portLevelMtls: { 9002: { mode: STRICT } } }"), [9002, "unknown"]);
    assert.deepEqual(port("AuthorizationPolicy", rules(`{ paths: [/] }`)), []);
  });
});

describe("a gateway of a ticket", () => {
  it("is selected by policies with its labels, those of a Gateway, or a name for it", () => {
    const gateway = object("Gateway", "{ selector: { gw: edge } }");
    const at = (labels: string): boolean => isAtGateway(selecting(labels), [gateway]);
    assert.deepEqual(
      ["{ istio: ingressgateway }", "{ gw: edge }", "{ istio: my-ingress }", "{ app: x-ingress-gateway }"].map(at),
      [true, true, true, true],
    );
    assert.deepEqual(["{}", "{ gw: other }", "{ app: shop }"].map(at), [false, false, false]);
    assert.equal(isAtGateway(object("Gateway", "{ selector: { matchLabels: { gw: edge } } }"), [gateway]), false);
  });

  it("ends TLS of a host by the mode of the servers that serve it", () => {
    const servers = `{ servers: [
      { hosts: ["*.example.com"], port: { protocol: HTTPS }, tls: { mode: MUTUAL } },
      { hosts: ["ns/a.example.com"], port: { protocol: TLS }, tls: { mode: PASSTHROUGH } },
      { hosts: [b.test], port: { protocol: HTTPS } },
      { hosts: ["*"], port: { protocol: HTTP } } ] }`;
    const modes = (host: string): string[] => serverModes(object("Gateway", servers), host);
    assert.deepEqual(modes("a.example.com"), ["MUTUAL", "PASSTHROUGH"]);
    assert.deepEqual([modes("b.test"), modes("c.test")], [["SIMPLE"], []]);
    assert.deepEqual(
      [fitsHost("*", "x"), fitsHost("*.a.b", "x.a.b"), fitsHost("*.a.b", "a.b"), fitsHost("a.b", "x.a.b")],
      [true, true, false, false],
    );
  });

  it("routes by HTTP, TLS and TCP; a VirtualService of the mesh alone is not bound to it", () => {
    const to = (host: string, port = ""): string => `{ route: [{ destination: { host: ${host}${port} } }] }`;
    const route = object(
      "VirtualService",
      `{ gateways: [mesh, edge], http: [${to("a", ", port: { number: 81 }")}, { redirect: {} }], tls: [${to("b")}], tcp: [${to("c")}] }`,
    );
    const shared = { namespace: "shop", gateway: true };
    assert.deepEqual(virtualRoutesOf([route], nsOf), [
      { destination: "a", ...shared, raw: false, port: 81 },
      { destination: "b", ...shared, raw: true },
      { destination: "c", ...shared, raw: true },
    ]);
    const inside = object("VirtualService", `{ gateways: [mesh], http: [${to("a")}] }`);
    assert.deepEqual(
      virtualRoutesOf([inside], nsOf).map(({ gateway }) => gateway),
      [false],
    );
  });
});

describe("a host", () => {
  it("is a Service's where it is a short name, ends in .svc, or names a namespace of the ticket", () => {
    const spaces = new Set(["shop"]);
    const found = [
      "a",
      "a.shop",
      "a.other",
      "a.other.svc",
      "a.b.svc.cluster.local",
      "localhost",
      "127",
      "a.b.example.com",
    ];
    assert.deepEqual(
      found.map((host) => inCluster(host, spaces)?.join("/")),
      ["a", "a/shop", undefined, "a/other", "a/b", undefined, undefined, undefined],
    );
  });

  it("of keys is that of each jwksUri, also of one that is not a valid URL", () => {
    const rules = `{ jwtRules: [{ issuer: a, jwksUri: "http://keys.shop:8080/x" }, { issuer: b, jwks_uri: "https://u:p@b.test/%zz" }, { issuer: c }] }`;
    assert.deepEqual(keysFrom([object("RequestAuthentication", rules)]), ["keys.shop", "b.test"]);
  });
});
