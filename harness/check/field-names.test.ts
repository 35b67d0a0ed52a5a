import assert from "node:assert/strict";
import { it } from "node:test";
import { withFieldNames } from "./field-names.ts";

it("istiod's names become Envoy's, and keys of maps stay", () => {
  assert.deepEqual(
    withFieldNames({
      "@type": "t",
      httpFilters: [{ typedConfig: { statPrefix: "aB", policies: { "ns[fooBar]": { notId: 1 }, camelCase: {} } } }],
    }),
    {
      "@type": "t",
      http_filters: [{ typed_config: { stat_prefix: "aB", policies: { "ns[fooBar]": { not_id: 1 }, camelCase: {} } } }],
    },
  );
});
