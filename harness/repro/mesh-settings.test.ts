import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { meshSettingsOf } from "./mesh-settings.ts";
import { readObjects } from "./read-objects.ts";

const CONFIG_MAP = (mesh: string, more = ""): string =>
  `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata:\n  mesh: '${mesh}'\n${more}`;
const OPERATOR = (spec: string): string =>
  `apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec: ${spec}\n`;

function settings(...texts: readonly string[]): unknown {
  const { mesh, differences } = meshSettingsOf(texts.flatMap((text) => readObjects(text, "values.yaml")));
  return [mesh, ...differences.map(({ decides, ...one }) => `${"field" in one ? String(one.field) : ""} ${decides}`)];
}

describe("the settings of a ticket's mesh", () => {
  it("are taken from an IstioOperator, from istiod's ConfigMap and from Helm values", () => {
    const wanted = [{ pathNormalization: "MERGE_SLASHES" }];
    assert.deepEqual(
      settings(OPERATOR("{ meshConfig: { pathNormalization: { normalization: MERGE_SLASHES } } }")),
      wanted,
    );
    assert.deepEqual(
      settings(OPERATOR("{ values: { meshConfig: { pathNormalization: { normalization: MERGE_SLASHES } } } }")),
      wanted,
    );
    assert.deepEqual(settings(CONFIG_MAP("pathNormalization: { normalization: MERGE_SLASHES }")), wanted);
    const operator =
      "{ apiVersion: install.istio.io/v1alpha1, kind: IstioOperator, spec: { meshConfig: { pathNormalization: { normalization: MERGE_SLASHES } } } }";
    assert.deepEqual(settings(`apiVersion: v1\nkind: List\nitems: [${operator}]`), wanted);
    assert.deepEqual(settings("meshConfig: { pathNormalization: { normalization: MERGE_SLASHES } }"), wanted);
  });

  it("say who fetches keys, by istiod's environment", () => {
    for (const [text, jwksFetch] of [
      [OPERATOR("{ values: { pilot: { env: { PILOT_JWT_ENABLE_REMOTE_JWKS: 'true' } } } }"), "hybrid"],
      [
        OPERATOR("{ components: { pilot: { k8s: { env: [{ name: PILOT_JWT_ENABLE_REMOTE_JWKS, value: envoy }] } } } }"),
        "envoy",
      ],
      ["pilot: { env: { PILOT_JWT_ENABLE_REMOTE_JWKS: false } }", "istiod"],
    ] as const)
      assert.deepEqual(settings(text), [{ jwksFetch }]);
  });

  it("may decide where they are not known, or where two objects contradict each other", () => {
    assert.deepEqual(settings(OPERATOR("{ meshConfig: { pathNormalization: { normalization: SOMETHING } } }")), [
      {},
      "meshConfig.pathNormalization.normalization unknown",
    ]);
    assert.deepEqual(settings(OPERATOR("{ meshConfig: { trustDomain: shop.example } }")), [
      {},
      "meshConfig.trustDomain unknown",
    ]);
    assert.deepEqual(
      settings(
        CONFIG_MAP("pathNormalization: { normalization: NONE }"),
        OPERATOR("{ meshConfig: { pathNormalization: { normalization: BASE } } }"),
      ),
      [{}, "meshConfig.pathNormalization.normalization unknown", "meshConfig.pathNormalization.normalization unknown"],
    );
    assert.deepEqual(settings(CONFIG_MAP("- not a map")), [{}, "meshConfig[0] unknown"]);
  });

  it("decide nothing where meshproof's mesh has the same, or where no answer depends on them", () => {
    const mesh = [
      "rootNamespace: istio-system",
      "trustDomain: cluster.local",
      "enablePrometheusMerge: true",
      "defaultConfig: { discoveryAddress: istiod.istio-system.svc:15012 }",
    ];
    const text = `apiVersion: v1\nkind: ConfigMap\nmetadata: { name: istio, namespace: istio-system }\ndata:\n  meshNetworks: 'networks: {}'\n  mesh: |\n${mesh.map((line) => `    ${line}`).join("\n")}\n`;
    assert.deepEqual(settings(text), [
      {},
      "meshNetworks no",
      "meshConfig.rootNamespace no",
      "meshConfig.trustDomain no",
      "meshConfig.enablePrometheusMerge no",
      "meshConfig.defaultConfig.discoveryAddress no",
    ]);
  });
});
