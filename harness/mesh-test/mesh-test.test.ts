import assert from "node:assert/strict";
import { test } from "node:test";
import { clientOf, createTokens } from "./requests.ts";
import { idOfTest } from "./test-id.ts";

test("a request is described by its client, and each of its tokens by how it is made", () => {
  const tokens = createTokens();
  const good = tokens.mint({ issuer: "corp", claims: { aud: "orders" } });
  const bad = tokens.break(good, "expired");
  assert.deepEqual(bad.spec, { issuer: "corp", claims: { aud: "orders" }, variant: "expired" });
  assert.notEqual(bad.name, good.name);
  assert.deepEqual(
    clientOf("sleep").post("httpbin", "/x?y", { token: [good, bad], headers: { Host: "a", X: ["1", "2"] } }),
    {
      request: {
        ...{ from: "sleep", to: "httpbin", method: "POST", path: "/x?y" },
        headers: [
          ["Host", "a"],
          ["X", "1"],
          ["X", "2"],
        ],
      },
      tokens: [good, bad],
    },
  );
});

test("a test's name in results is of its file and its titles", () => {
  assert.equal(
    idOfTest(["mesh/orders.spec.ts", "with a token", "GET /orders is allowed"]),
    "mesh-orders-spec/with-a-token-get-orders-is-allowed",
  );
  assert.equal(idOfTest(["a.spec.ts", "…"]), "a-spec/test");
});
