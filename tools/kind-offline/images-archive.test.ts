import assert from "node:assert/strict";
import { test } from "node:test";
import type { Installed } from "../../clusters/components/components.ts";
import { workloadImages } from "../../clusters/kind/images.ts";
import { meshImages, publishedMesh } from "../../clusters/kind/meshes.ts";
import { planImages } from "./images-archive.ts";

const component = (name: string) => ({
  name,
  version: "1",
  source: "",
  digest: `sha256:${name}`,
  bytes: 0,
  programs: [],
  details: {},
});
const installed = {
  root: "/root",
  istioBootstrap: "/istio/bootstrap.json",
  node: "/node/bin/node",
  bin: (name: string) => `/bin/${name}`,
  components: ["debian", "node", "envoy", "istio", "kubernetes", "etcd", "coredns", "go-httpbin"].map(component),
} as unknown as Installed;

test("kubeadm's images are one program each, under kubeadm's names", () => {
  const controlPlane = [
    "registry.k8s.io/etcd:3.6.8-0",
    "registry.k8s.io/coredns/coredns:v1",
    "registry.k8s.io/pause:3",
  ];
  const plans = planImages({ installed, nodeRoot: "/node-root", controlPlane, meshAndWorkloads: [] });
  assert.deepEqual(
    plans.map(({ name }) => name),
    controlPlane,
  );
  assert.deepEqual(plans[0]?.layers, [{ "/usr/local/bin/etcd": "/bin/etcd" }]);
  assert.deepEqual(plans[1]?.config["Entrypoint"], ["/coredns"]);
  assert.deepEqual(plans[2]?.layers, [{ "/pause": "/node-root/usr/bin/catatonit" }]);
});

test("every image of the mesh and the workloads is the catalogue's, on the shared root", async () => {
  const meshAndWorkloads = [...meshImages(publishedMesh({})), ...(await workloadImages())];
  const plans = planImages({ installed, nodeRoot: "", controlPlane: [], meshAndWorkloads });
  assert.deepEqual(
    plans.map(({ name }) => name),
    meshAndWorkloads,
  );
  for (const { layers } of plans) assert.deepEqual(layers[0], { "/": "/root" });
  const proxy = plans.find(({ name }) => name.includes("/proxyv2:"));
  assert.deepEqual(proxy?.config["Entrypoint"], ["/usr/local/bin/pilot-agent"]);
  assert.deepEqual(Object.keys(proxy?.layers[1] ?? {}).sort(), [
    "/usr/local/bin/envoy",
    "/usr/local/bin/pilot-agent",
    "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
  ]);
});

test("an image that no component is cannot be planned", () => {
  const parts = { installed, nodeRoot: "", controlPlane: [], meshAndWorkloads: [] };
  assert.throws(() => planImages({ ...parts, controlPlane: ["registry.k8s.io/new:1"] }), { code: "ERR_COMPONENT" });
  assert.throws(() => planImages({ ...parts, meshAndWorkloads: ["r.example/unknown:1"] }), { code: "ERR_COMPONENT" });
});
