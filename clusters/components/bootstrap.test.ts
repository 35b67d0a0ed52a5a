import assert from "node:assert/strict";
import { test } from "node:test";
import { withoutOwnExtension } from "./bootstrap.ts";

const OTHER = '{ "name": "envoy.bootstrap.internal_listener" }';
const OWN = `{{- if .metadata_discovery }}
    { "name": "metadata_discovery", "type_url": "type.googleapis.com/istio.workload.BootstrapExtension" },
    {{- end }}
    `;
const template = (own: string): string => `"bootstrap_extensions": [ ${own}${OTHER} ], {{- if .stats }} "x" {{- end }}`;

test("the template of an upstream Envoy has not Istio's own extension, and is otherwise the same", () => {
  assert.equal(withoutOwnExtension(template(OWN)), template(""));
  assert.equal(withoutOwnExtension(template("")), template(""));
});

test("an extension in another block is an error, and not left to Envoy", () => {
  assert.throws(() => withoutOwnExtension(template(OWN.replace(".metadata_discovery", ".discovery"))), {
    code: "ERR_COMPONENT",
  });
});
