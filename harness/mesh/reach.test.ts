import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { parseManifests } from "./apply.ts";
import type { Manifest } from "./client.ts";
import { describeReach } from "../../reports/words.ts";
import { reachOf } from "./reach.ts";

const OWN = new Set(["${ns}", "${outside.ns}"]);
const NETWORKING = "networking.istio.io/v1";
const GATEWAY_API = "gateway.networking.k8s.io/v1";

const object = (apiVersion: string, kind: string, spec: object = {}, metadata: object = {}): Manifest => ({
  apiVersion,
  kind,
  metadata: { name: "x", namespace: "${ns}", ...metadata },
  spec,
});
const pod = (spec: object): Manifest => object("v1", "Pod", { containers: [{ name: "c" }], ...spec });
const deployment = (spec: object): Manifest => object("apps/v1", "Deployment", { template: { spec } });
const container = (fields: object): object => ({ containers: [{ name: "c", ...fields }] });

for (const [what, manifest, permitted, why] of [
  ["own", object("v1", "Service"), undefined, undefined],
  ["outside", object("v1", "Service", {}, { namespace: "${outside.ns}" }), undefined, undefined],
  ["the run's namespace", object("v1", "Namespace", {}, { name: "${ns}", namespace: undefined }), undefined, undefined],
  ["another namespace", object("v1", "Namespace", {}, { namespace: undefined }), "never", /is not the run's own/],
  [
    "another user's",
    object("v1", "ConfigMap", {}, { namespace: "prod" }),
    "mesh",
    /is applied to prod, where others work/,
  ],
  ["nowhere", object("v1", "ConfigMap", {}, { namespace: undefined }), "mesh", /names no namespace/],
  // The API server ignores the namespace of a cluster-scoped kind.
  [
    "a cluster-wide kind that names a namespace",
    object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"),
    "never",
    /is of the kind ClusterRoleBinding\.rbac\.authorization\.k8s\.io/,
  ],
  [
    "a webhook",
    object("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration"),
    "never",
    /of the kind Validating/,
  ],
  ["a kind of another group", object("example.com/v1", "Service"), "never", /of the kind Service\.example\.com/],
  ["named like a method", object("v1", "toString"), "never", /of the kind toString/],
  ["of a group named like a method", object("constructor/v1", "Pod"), "never", /of the kind Pod\.constructor/],
  ["held back", object("v1", "ConfigMap", {}, { finalizers: ["x/y"] }), "never", /has finalizers/],
  ["owned", object("v1", "ConfigMap", {}, { ownerReferences: [{}] }), "never", /has ownerReferences/],
  ["a node port", object("v1", "Service", { type: "NodePort" }), "never", /of the type NodePort/],
  ["a load balancer", object("v1", "Service", { type: "LoadBalancer" }), "never", /of the type LoadBalancer/],
  ["external addresses", object("v1", "Service", { externalIPs: ["8.8.8.8"] }), "never", /has externalIPs/],
  [
    "a node's path",
    pod({ volumes: [{ name: "v", hostPath: { path: "/" } }] }),
    "never",
    /volume v of the type hostPath/,
  ],
  [
    "a disk",
    pod({ volumes: [{ name: "v", persistentVolumeClaim: {} }] }),
    "never",
    /of the type persistentVolumeClaim/,
  ],
  ["a folder of its own", pod({ volumes: [{ name: "v", emptyDir: {} }] }), undefined, undefined],
  ["the node's network", deployment({ hostNetwork: true }), "never", /has hostNetwork/],
  ["the node's processes", deployment({ hostPID: true }), "never", /has hostPID/],
  ["a pod that goes first", pod({ priorityClassName: "system-node-critical" }), "never", /has priorityClassName/],
  ["a chosen node", pod({ nodeName: "a" }), "never", /has nodeName/],
  ["privileged", deployment(container({ securityContext: { privileged: true } })), "never", /privileged container c/],
  [
    "more rights",
    deployment({ initContainers: [{ name: "i", securityContext: { capabilities: { add: ["NET_ADMIN"] } } }] }),
    "never",
    /adds capabilities to the container i/,
  ],
  ["a port of the node", deployment(container({ ports: [{ hostPort: 80 }] })), "never", /has a hostPort/],
  [
    "never, even if it also has something that a flag permits",
    object("v1", "Service", { type: "NodePort" }, { namespace: "prod" }),
    "never",
    /NodePort/,
  ],
  ["exported", object(NETWORKING, "ServiceEntry"), "mesh", /is exported to every namespace/],
  ["exported to more", object(NETWORKING, "VirtualService", { exportTo: [".", "*"] }), "mesh", /is exported/],
  ["exported to no namespace", object(NETWORKING, "ServiceEntry", { exportTo: [] }), "mesh", /is exported/],
  ["kept to itself", object(NETWORKING, "DestinationRule", { exportTo: ["."] }), undefined, undefined],
  ["kept to the run", object(NETWORKING, "ServiceEntry", { exportTo: [".", "${outside.ns}"] }), undefined, undefined],
  ["on the mesh's gateway", object(NETWORKING, "Gateway"), "mesh", /opens the mesh's own gateway/],
  ["a gateway", object(GATEWAY_API, "Gateway"), "mesh", /makes a gateway with a load balancer/],
  [
    "a gateway without a load balancer",
    object(GATEWAY_API, "Gateway", {}, { annotations: { "networking.istio.io/service-type": "ClusterIP" } }),
    undefined,
    undefined,
  ],
  [
    "a gateway that another one serves",
    object(GATEWAY_API, "Gateway", { addresses: [{ value: "istio-ingressgateway" }] }),
    "mesh",
    /opens the mesh's own gateway/,
  ],
  ["a grant of its own", object("gateway.networking.k8s.io/v1beta1", "ReferenceGrant"), undefined, undefined],
  ["a route of its own", object(GATEWAY_API, "HTTPRoute", { parentRefs: [{ name: "g" }] }), undefined, undefined],
  [
    "a route on another user's gateway",
    object(GATEWAY_API, "HTTPRoute", { parentRefs: [{ name: "g", namespace: "ingress" }] }),
    "mesh",
    /is attached to the Gateway ingress\/g, where others work/,
  ],
] as const)
  test(`an object that is or has ${what}`, () => {
    const reach = reachOf(manifest, OWN);
    assert.equal(reach?.permitted, permitted);
    if (why !== undefined) assert.match(reach === undefined ? "" : describeReach(reach), why);
  });

test("every object of the scenarios and their workloads may be applied, some with the flag", () => {
  const root = path.join(import.meta.dirname, "../../scenarios");
  const files = readdirSync(root, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".yaml") && !/scenario\.yaml$|^issuers|^questions\.yaml$/.test(file),
  );
  const never = files.flatMap((file) =>
    parseManifests(readFileSync(path.join(root, file), "utf8")).flatMap((manifest) => {
      const reach = reachOf(manifest, OWN);
      return reach?.permitted === "never" ? [`${file}: ${describeReach(reach)}`] : [];
    }),
  );
  assert.deepEqual(never, []);
  assert.ok(files.length > 200);
});
