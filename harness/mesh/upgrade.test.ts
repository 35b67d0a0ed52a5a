import assert from "node:assert/strict";
import { test } from "node:test";
import type { Manifest } from "./client.ts";
import { partsOf } from "./upgrade.ts";

const object = (kind: string, name: string, namespace?: string): Manifest => ({
  apiVersion: "v1",
  kind,
  metadata: { name, ...(namespace === undefined ? {} : { namespace }) },
});

test("objects that only the old mesh has are removed, but not CRDs: their objects are the user's", () => {
  const { obsolete } = partsOf(
    [
      object("CustomResourceDefinition", "old.istio.io"),
      object("Deployment", "istiod", "istio-system"),
      object("ConfigMap", "istio", "istio-system"),
    ],
    [object("Deployment", "istiod-1-31-0", "istio-system"), object("ConfigMap", "istio", "istio-system")],
  );
  assert.deepEqual(
    obsolete.map(({ metadata }) => metadata.name),
    ["istiod"],
  );
});

test("the control plane comes first, then the gateway, and the objects that make a revision the default last", () => {
  const parts = partsOf(
    [],
    [
      object("CustomResourceDefinition", "gateways.networking.istio.io"),
      object("Deployment", "istiod-1-31-0", "istio-system"),
      object("Deployment", "istio-ingressgateway", "istio-system"),
      object("Service", "istio-ingressgateway", "istio-system"),
      object("MutatingWebhookConfiguration", "istio-sidecar-injector-1-31-0"),
      object("MutatingWebhookConfiguration", "istio-revision-tag-default"),
      object("ValidatingWebhookConfiguration", "istiod-default-validator"),
    ],
  );
  const names = (manifests: readonly Manifest[]) => manifests.map(({ metadata }) => metadata.name);
  assert.deepEqual(names(parts.controlPlane), [
    "gateways.networking.istio.io",
    "istiod-1-31-0",
    "istio-sidecar-injector-1-31-0",
  ]);
  assert.deepEqual(names(parts.gateway), ["istio-ingressgateway", "istio-ingressgateway"]);
  assert.deepEqual(names(parts.takeover), ["istio-revision-tag-default", "istiod-default-validator"]);
});
