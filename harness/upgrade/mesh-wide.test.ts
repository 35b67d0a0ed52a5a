import assert from "node:assert/strict";
import path from "node:path";
import { test } from "node:test";
import { loadScenarios } from "../scenario/index.ts";
import { policesWholeMesh } from "./mesh-wide.ts";

test("a policy without a selector in the root namespace is for the whole mesh", async () => {
  const { scenarios } = await loadScenarios(path.join(import.meta.dirname, "../../scenarios"));
  const found = scenarios.filter(policesWholeMesh).map(({ id }) => id);
  assert.deepEqual(found, ["authn/root-namespace", "authz/allow-nothing-in-mesh", "gateway-api/root-namespace"]);
});
