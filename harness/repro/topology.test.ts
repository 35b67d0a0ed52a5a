import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readCurlLine } from "./curl-line.ts";
import { deciding, ticket } from "./fixtures.ts";
import { translate } from "./translate.ts";
import type { Translation } from "./ticket.ts";

const DENY_ALL = `
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: { name: deny-all, namespace: foo }
spec: {}
`;

const MESH_STRICT = `
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: { name: default, namespace: istio-system }
spec: { mtls: { mode: STRICT } }
`;

const HEADLESS = `
---
apiVersion: v1
kind: Service
metadata: { name: store, namespace: foo }
spec: { clusterIP: None, publishNotReadyAddresses: true, selector: { app: store }, ports: [{ name: http, port: 9200 }] }
`;

const GATEWAY = (hosts: string): string => `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: { name: gw, namespace: istio-system }
spec: { selector: { istio: ingressgateway }, servers: [{ port: { number: 80, name: http, protocol: HTTP }, hosts: ["${hosts}"] }] }
`;

const asked = (yaml: string, curl: string): Translation => translate(ticket(yaml, { request: readCurlLine(curl) }));

describe("where a request goes", () => {
  it("takes a name of two parts for a Service when a pod asks, even without anything else in its namespace", () => {
    const { topology } = asked(MESH_STRICT, "kubectl exec -n legacy deploy/sleep -- curl http://httpbin.foo:8000/ip");
    assert.equal(topology.way.kind === "service" && topology.way.service.namespace, "foo");
  });

  it("takes a name under a public domain for one outside of the cluster", () => {
    const { topology } = asked(DENY_ALL, "kubectl exec -n foo deploy/sleep -- curl http://example.com/");
    assert.equal(topology.way.kind, "egress");
  });

  for (const [what, host] of [
    ["an address", "10.244.1.17:8080"],
    ["a pod's own name", "store-0.store.foo.svc.cluster.local:9200"],
    ["a name that may be a namespace or a domain", "api.dev"],
    ["a variable", "$POD_IP:8080"],
  ] as const)
    it(`leaves open what answers at ${what}`, () => {
      const made = asked(DENY_ALL + HEADLESS, `kubectl exec -n foo deploy/sleep -- curl http://${host}/`);
      assert.ok(deciding(made).includes("way-open unknown"), deciding(made).join());
      assert.equal(made.topology.way.kind, "service");
    });

  it("leaves open what the proxy answers on a port of its own", () => {
    const made = asked(DENY_ALL, "kubectl exec -n foo deploy/prometheus -- curl http://api.foo:15090/stats/prometheus");
    assert.ok(deciding(made).includes("part-left-out unknown"));
  });

  it("needs the value of a variable in the place of the host only where the ticket compares hosts", () => {
    const curl = 'curl "http://$INGRESS_HOST:$INGRESS_PORT/headers"';
    const open = (hosts: string, line: string): string[] =>
      deciding(asked(GATEWAY(hosts), line)).filter((one) => one.startsWith("host"));
    assert.deepEqual(open("*", curl), []);
    assert.deepEqual(open("shop.example", curl), ["host-open unknown"]);
    assert.deepEqual(open("shop.example", `${curl} -H 'Host: shop.example'`), []);
  });

  it("leaves out what is for an egress gateway", () => {
    const made = asked(
      `${GATEWAY("example.com").replace("istio: ingressgateway", "istio: egressgateway")}---${DENY_ALL}`,
      "kubectl exec -n foo deploy/sleep -- curl http://example.com/",
    );
    assert.deepEqual(deciding(made), ["object-left-out unknown"]);
  });

  it("gives assumed pods the labels of each subset", () => {
    const { topology } = asked(
      `${DENY_ALL}---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: shop, namespace: foo }
spec: { host: shop, subsets: [{ name: v1, labels: { version: v1 } }, { name: v2, labels: { version: v2 } }] }
`,
      "kubectl exec -n foo deploy/sleep -- curl http://shop.foo/",
    );
    assert.deepEqual(topology.workloads.map(({ labels }) => labels["version"]).sort(), ["v1", "v2"]);
  });
});
