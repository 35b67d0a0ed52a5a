import assert from "node:assert/strict";
import { it } from "node:test";
import type { Kube, Manifest } from "../mesh/client.ts";
import { gatewayIn, isGateway } from "../model/target.ts";
import { deploymentOf, reachGateway, replicasOf } from "./gateways.ts";

const gateway = (spec: object, apiVersion = "gateway.networking.k8s.io/v1"): Manifest => ({
  apiVersion,
  kind: "Gateway",
  metadata: { name: "front", namespace: "foo" },
  spec: { gatewayClassName: "istio", ...spec },
});
const listeners = [
  { name: "http", port: 80, protocol: "HTTP" },
  { name: "internal", port: 8080, protocol: "HTTP" },
  { name: "tls", port: 443, protocol: "HTTPS", hostname: "shop.example" },
  { name: "any", port: 8443, protocol: "HTTPS", hostname: "*.example" },
];

it("a Gateway is reached by the port of its listener, and one with TLS by its hostname", async () => {
  const read = () => Promise.resolve(gateway({ listeners }));
  const reach = async (listener?: string) =>
    reachGateway({ objects: { read } } as unknown as Kube, "foo", { name: "front", ...(listener && { listener }) });
  assert.deepEqual(await reach(), { url: "http://front-istio.foo", port: 80 });
  assert.deepEqual(await reach("internal"), { url: "http://front-istio.foo:8080", port: 8080 });
  assert.deepEqual(await reach("tls"), { url: "https://shop.example", connectTo: "front-istio.foo:443", port: 443 });
  assert.deepEqual(await reach("any"), { url: "https://front-istio.foo:8443", port: 8443 });
  await assert.rejects(reach("other"), /the Gateway foo\/front has no listener other/);
});

it("a Gateway that is not there is the scenario's fault", async () => {
  const read = () => Promise.reject(new Error("not found"));
  const kube = { objects: { read } } as unknown as Kube;
  await assert.rejects(reachGateway(kube, "foo", { name: "front" }), /there is no Gateway foo\/front to send to/);
});

it("istiod makes a Deployment for a Gateway of its class that nothing else serves", () => {
  assert.equal(deploymentOf(gateway({})), "front-istio");
  assert.equal(deploymentOf(gateway({ addresses: [{ value: "elsewhere" }] })), undefined);
  assert.equal(deploymentOf(gateway({ gatewayClassName: "istio-waypoint" })), "front");
  assert.equal(deploymentOf(gateway({ gatewayClassName: "istio-remote" })), undefined);
  assert.equal(deploymentOf(gateway({}, "networking.istio.io/v1")), undefined);
  assert.equal(deploymentOf({ apiVersion: "apps/v1", kind: "Deployment", metadata: { name: "x" } }), "x");
});

it("names of gateways", () => {
  assert.deepEqual(gatewayIn("gateway/front"), { name: "front" });
  assert.deepEqual(gatewayIn("gateway/front/tls"), { name: "front", listener: "tls" });
  assert.equal(gatewayIn("gateway"), undefined);
  assert.deepEqual(["ingress", "gateway/a", "httpbin"].map(isGateway), [true, true, false]);
});

it("a Gateway demands the pods that its ConfigMap of parameters says", () => {
  const by = (name: string) => gateway({ infrastructure: { parametersRef: { group: "", kind: "ConfigMap", name } } });
  const parameters = (deployment: string | undefined, namespace = "foo"): Manifest => ({
    apiVersion: "v1",
    kind: "ConfigMap",
    metadata: { name: "pods", namespace },
    data: { ...(deployment !== undefined && { deployment }) },
  });
  const none = "spec:\n  replicas: 0\n";
  assert.equal(replicasOf(by("pods"), [parameters(none)]), 0);
  assert.equal(replicasOf(by("pods"), [parameters(none, "bar")]), undefined);
  assert.equal(replicasOf(by("other"), [parameters(none)]), undefined);
  assert.equal(replicasOf(gateway({}), [parameters(none)]), undefined);
  for (const silent of [undefined, "", "spec: {}\n"])
    assert.equal(replicasOf(by("pods"), [parameters(silent)]), undefined);
});
