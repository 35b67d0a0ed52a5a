import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf } from "../harness/model/errors.ts";
import { unreachable } from "./explain.ts";

test("an API server that hangs or is gone is unreachable, which is not a bug of meshproof", () => {
  const failed = (code: string) =>
    new TypeError("fetch failed", { cause: Object.assign(new Error("Connect Timeout Error"), { code }) });
  for (const code of [
    "UND_ERR_CONNECT_TIMEOUT",
    "UND_ERR_HEADERS_TIMEOUT",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
  ]) {
    const error = unreachable(failed(code));
    assert.equal(error?.code, "ERR_CLUSTER_UNREACHABLE", code);
    assert.match(error.message, /the API server does not answer: Connect Timeout Error/);
    assert.equal(exitCodeOf(error), 3);
  }
  assert.equal(unreachable(failed("ENOENT")), undefined);
  assert.equal(unreachable(new TypeError("x is undefined")), undefined);
});
