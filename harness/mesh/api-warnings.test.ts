import assert from "node:assert/strict";
import { test } from "node:test";
import { ApiWarnings } from "./api-warnings.ts";

test("warnings of the API server are read from their header, each once", () => {
  const warnings = new ApiWarnings();
  const sent = { kind: "AuthorizationPolicy", metadata: { name: "a", namespace: "b" } };
  const header = '299 - "unknown field \\"spec.rule\\"", 299 - "use ports, or none"';
  warnings.add(sent, header);
  warnings.add(sent, header);
  warnings.add(sent);
  assert.deepEqual(
    warnings.list().map(({ text }) => text),
    ['unknown field "spec.rule"', "use ports, or none"],
  );
  assert.deepEqual(warnings.list()[0]?.object, { kind: "AuthorizationPolicy", namespace: "b", name: "a" });
});
