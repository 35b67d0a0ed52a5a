import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ManifestObject } from "../model/manifest.ts";
import { buildWorld, type World } from "./world.ts";

const OPTIONS = { namespace: "foo", outsideNamespace: "out", istio: "1.31.0" };

const deployment = (
  name: string,
  parts: { labels?: object; replicas?: number; namespace?: string } = {},
): ManifestObject => ({
  ...{ apiVersion: "apps/v1", kind: "Deployment" },
  metadata: { name, ...(parts.namespace !== undefined && { namespace: parts.namespace }) },
  spec: {
    ...(parts.replicas !== undefined && { replicas: parts.replicas }),
    template: {
      metadata: { labels: { app: name, ...parts.labels } },
      spec: { serviceAccountName: name, containers: [{ ports: [{ name: "web", containerPort: 8080 }] }] },
    },
  },
});
const service = (name: string, ports: readonly object[]): ManifestObject => ({
  ...{ apiVersion: "v1", kind: "Service", metadata: { name } },
  spec: { selector: { app: name }, ports },
});
const GATEWAY: ManifestObject = {
  ...{ apiVersion: "gateway.networking.k8s.io/v1", kind: "Gateway", metadata: { name: "shop" } },
  spec: { gatewayClassName: "istio", listeners: [{ name: "http", port: 8000, protocol: "HTTP" }] },
};

const world = (...objects: readonly ManifestObject[]): World => buildWorld(objects, OPTIONS);

describe("what a cluster would make of objects", () => {
  const HTTPBIN = service("httpbin", [{ name: "http", port: 8000, targetPort: "web" }]);

  it("a Service leads to its pods, whose port has a name", async () => {
    const made = world(deployment("httpbin"), HTTPBIN);
    const target = await made.target({ to: "httpbin" });
    assert.deepEqual(
      [target.url, target.port, target.readyPods, target.proxies.map(({ pod, kind }) => [pod, kind])],
      ["http://httpbin.foo:8000", 8080, 1, [["httpbin-1", "sidecar"]]],
    );
    const behind = made.podsBehind("httpbin.foo.svc.cluster.local", 8000);
    assert.deepEqual(
      behind?.map(({ pod, port }) => [pod.name, port]),
      [["httpbin-1", 8080]],
    );
    assert.equal(made.podsBehind("httpbin.foo.svc.cluster.local", 8001), undefined);
    assert.equal(made.podsBehind("other.foo.svc.cluster.local", 8000), undefined);
    assert.ok(made.servicePorts.has("8000") && !made.servicePorts.has("8080"));
    const other = world(deployment("httpbin"), service("httpbin", [{ name: "http", port: 8080, targetPort: 9000 }]));
    assert.ok(!other.servicePorts.has("8080"), "a pod listens on it, which its own clients may ask");
  });

  it("a pod has a sidecar by its namespace, and by its own word", async () => {
    const proxies = async (one: ManifestObject): Promise<unknown> => {
      const { readyPods, proxies } = await world(one, HTTPBIN).target({ to: "httpbin" });
      return [readyPods, proxies.length];
    };
    assert.deepEqual(await proxies(deployment("httpbin")), [1, 1]);
    assert.deepEqual(await proxies(deployment("httpbin", { labels: { "sidecar.istio.io/inject": "false" } })), [1, 0]);
    assert.deepEqual(await proxies(deployment("httpbin", { replicas: 0 })), [0, 0]);
    const outside = world(deployment("outside", { namespace: "out" }));
    assert.equal((await outside.place("outside")).proxy, undefined);
    assert.equal((await world(deployment("sleep")).place("sleep")).proxy?.serviceAccount, "sleep");
  });

  it("a Gateway of the class istio has a pod and a Service of its own", async () => {
    const { url, proxies } = await world(GATEWAY).target({ to: "gateway/shop" });
    assert.deepEqual(
      [url, proxies.map(({ pod, kind }) => [pod, kind])],
      ["http://shop-istio.foo:8000", [["shop-istio-1", "gateway"]]],
    );
    const other = { ...GATEWAY, spec: { ...(GATEWAY["spec"] as object), gatewayClassName: "another" } };
    assert.deepEqual((await world(other).target({ to: "gateway/shop" })).proxies, []);
  });

  it("names what is not there", async () => {
    await assert.rejects(world().target({ to: "httpbin" }), { code: "ERR_SCENARIO_INVALID" });
    await assert.rejects(world().target({ to: "gateway/shop" }), { code: "ERR_SCENARIO_INVALID" });
    await assert.rejects(world().place("sleep"), { code: "ERR_SCENARIO_INVALID" });
  });

  it("the ingress gateway is always there, and no two pods have an address", async () => {
    const made = world(deployment("a"), deployment("b"), GATEWAY);
    assert.equal((await made.target({ to: "ingress" })).proxies[0]?.kind, "gateway");
    const ips = made.objects.flatMap(({ kind, ...rest }) =>
      kind === "Pod" ? [(rest as unknown as { status: { podIP: string } }).status.podIP] : [],
    );
    assert.ok(ips.length >= 4);
    assert.equal(new Set(ips).size, ips.length);
  });
});
