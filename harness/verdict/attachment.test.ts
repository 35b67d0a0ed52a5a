import assert from "node:assert/strict";
import { it } from "node:test";
import { isAttached, targetsOf, whyNotAttached, type AttachingProxy } from "./attachment.ts";

const ROOT = "istio-system";
const GATEWAY_GROUP = "gateway.networking.k8s.io";
const gatewayOf = (name: string, namespace = "foo", kind: AttachingProxy["kind"] = "gateway"): AttachingProxy => ({
  namespace,
  kind,
  labels: { [`${GATEWAY_GROUP}/gateway-name`]: name },
});
const PROXIES = {
  sidecar: { namespace: "foo", kind: "sidecar", labels: { app: "httpbin" } },
  classic: { namespace: ROOT, kind: "gateway", labels: { istio: "ingressgateway" } },
  labelled: { ...gatewayOf("gateway", ROOT), labels: { ...gatewayOf("gateway").labels, istio: "ingressgateway" } },
  gateway: gatewayOf("gateway"),
  other: gatewayOf("other"),
  waypoint: {
    ...gatewayOf("waypoint", "foo", "waypoint"),
    serves: [
      { kind: "Service", namespace: "foo", name: "httpbin" },
      { kind: "ServiceEntry", namespace: "foo", name: "elsewhere" },
      { kind: "Service", namespace: "bar", name: "httpbin" },
    ],
  },
} satisfies Record<string, AttachingProxy>;
type Name = keyof typeof PROXIES;

const GATEWAY = { group: GATEWAY_GROUP, kind: "Gateway", name: "gateway" };
const label = (name: string) => ({ selector: { matchLabels: { [`${GATEWAY_GROUP}/gateway-name`]: name } } });
const classOf = (name: string) => ({ targetRefs: [{ group: GATEWAY_GROUP, kind: "GatewayClass", name }] });

/** What was seen on Istio 1.31 (docs/gateway-api.md), and istiod's ShouldAttachPolicy for the rest. */
const TABLE: readonly (readonly [spec: object, namespace: string, holdsAt: readonly Name[]])[] = [
  [{ targetRefs: [GATEWAY] }, "foo", ["gateway"]],
  [{ targetRef: GATEWAY }, "foo", ["gateway"]],
  [{ targetRefs: [{ ...GATEWAY, name: "elsewhere" }, GATEWAY] }, "foo", ["gateway"]],
  [{ targetRefs: [GATEWAY] }, "default", []],
  [{ targetRefs: [GATEWAY] }, ROOT, ["labelled"]],
  [{ targetRefs: [{ ...GATEWAY, group: "networking.istio.io" }] }, "foo", []],
  [label("gateway"), "foo", ["gateway"]],
  [label("gateway"), "default", []],
  [label("gateway"), ROOT, ["labelled", "gateway"]],
  [label("waypoint"), "foo", []],
  [{}, "foo", ["sidecar", "gateway", "other"]],
  [{}, "default", []],
  [{}, ROOT, ["sidecar", "classic", "labelled", "gateway", "other"]],
  [{ selector: { matchLabels: { app: "httpbin" } } }, "foo", ["sidecar"]],
  [{ selector: { matchLabels: { app: "httpbin" } } }, ROOT, ["sidecar"]],
  [{ selector: { matchLabels: { app: "httpbn" } } }, "foo", []],
  [{ selector: { matchLabels: { istio: "ingressgateway" } } }, ROOT, ["classic", "labelled"]],
  [classOf("istio"), ROOT, []],
  [classOf("istio-waypoint"), ROOT, ["waypoint"]],
  [classOf("istio-waypoint"), "foo", []],
  [{ targetRefs: [{ ...GATEWAY, name: "waypoint" }] }, "foo", ["waypoint"]],
  [{ targetRefs: [{ ...GATEWAY, name: "waypoint" }] }, "bar", []],
  [{ targetRefs: [{ group: "", kind: "Service", name: "httpbin" }] }, "foo", ["waypoint"]],
  [{ targetRefs: [{ kind: "Service", name: "httpbin" }] }, "bar", ["waypoint"]],
  [{ targetRefs: [{ kind: "Service", name: "httpbin" }] }, ROOT, []],
  [{ targetRefs: [{ kind: "Service", name: "elsewhere" }] }, "foo", []],
  [{ targetRefs: [{ group: "networking.istio.io", kind: "ServiceEntry", name: "elsewhere" }] }, "foo", ["waypoint"]],
];

for (const [spec, namespace, holdsAt] of TABLE)
  it(`${JSON.stringify(spec)} in ${namespace} holds at ${holdsAt.join(", ") || "nothing"}`, () => {
    const policy = { metadata: { namespace }, spec };
    const found = Object.entries(PROXIES).filter(([, proxy]) => isAttached(policy, proxy, ROOT));
    assert.deepEqual(
      found.map(([name]) => name),
      holdsAt,
    );
  });

it("with targetRefs only, a gateway of the Gateway API takes neither selectors nor policies of its namespace", () => {
  const at = (name: Name, spec: object, namespace = "foo"): string[] =>
    whyNotAttached({ metadata: { namespace }, spec }, { ...PROXIES[name], targetRefsOnly: true }, ROOT).map(
      ({ kind }) => kind,
    );
  assert.deepEqual(at("gateway", label("gateway")), ["selector-at-gateway"]);
  assert.deepEqual(at("gateway", {}), ["selector-at-gateway"]);
  assert.deepEqual(at("gateway", {}, ROOT), ["selector-at-gateway"]);
  assert.deepEqual(at("gateway", {}, "bar"), ["other-namespace"]);
  assert.deepEqual(at("gateway", { targetRefs: [GATEWAY] }), []);
  assert.deepEqual(at("waypoint", label("waypoint")), ["selector-at-waypoint"]);
  assert.deepEqual(at("classic", { selector: { matchLabels: { istio: "ingressgateway" } } }, ROOT), []);
  assert.deepEqual(at("sidecar", {}), []);
});

it("the reason is about each thing that the policy names", () => {
  const kinds = (spec: object, name: Name, namespace = "foo"): string[] =>
    whyNotAttached({ metadata: { namespace }, spec }, PROXIES[name], ROOT).map(({ kind }) => kind);
  const service = { kind: "Service", name: "httpbin" };
  assert.deepEqual(kinds({ targetRefs: [{ ...GATEWAY, name: "x" }, service] }, "gateway"), [
    "other-gateway",
    "service-without-waypoint",
  ]);
  assert.deepEqual(kinds({ targetRefs: [{ ...service, name: "x" }] }, "waypoint"), ["service-of-no-waypoint"]);
  assert.deepEqual(kinds({ targetRefs: [GATEWAY] }, "gateway", "default"), ["target-in-other-namespace"]);
  assert.deepEqual(kinds({ targetRefs: [GATEWAY] }, "classic", ROOT), ["target-refs-ignored"]);
  assert.deepEqual(kinds(classOf("istio"), "gateway", ROOT), ["class-of-no-waypoint"]);
  assert.deepEqual(kinds(classOf("istio-waypoint"), "waypoint"), ["class-outside-root-namespace"]);
  assert.deepEqual(kinds(label("waypoint"), "waypoint"), ["selector-at-waypoint"]);
  assert.deepEqual(kinds({}, "gateway", "default"), ["other-namespace"]);
  assert.deepEqual(kinds(label("x"), "gateway"), ["other-labels"]);
  assert.deepEqual(targetsOf({ spec: { targetRef: service } }), [{ group: "", ...service }]);
});
