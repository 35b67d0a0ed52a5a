import assert from "node:assert/strict";
import { test } from "node:test";
import { sameNumbers } from "./user-namespace.ts";

test("users have the same numbers in the pods' user namespace, as many as there are outside", () => {
  assert.equal(sameNumbers("         0          0 4294967295\n"), "0 0 4294967295\n");
  const rootless = "         0       1000          1\n         1     100000      65536\n";
  assert.equal(sameNumbers(rootless), "0 0 1\n1 1 65536\n");
});
