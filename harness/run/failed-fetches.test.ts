import assert from "node:assert/strict";
import { it } from "node:test";
import { failedFetches } from "./failed-fetches.ts";

it("reads in istiod's log which keys it could not fetch, as text and as JSON", () => {
  const log = `2026-11-30T00:31:55.141001Z	warn	model	Failed to GET from "http://keys.example/a": status 404, message "no". Retry in 1s
{"level":"warn","scope":"model","msg":"Failed to GET from \\"https://keys.example/b\\": context deadline exceeded. Retry in 1s"}
2026-11-30T00:31:56.141001Z	warn	model	Failed to GET from "http://keys.example/a": context deadline exceeded. Retry in 1s
2026-11-30T00:31:57.141001Z	info	model	Updated cached JWT public key from "http://keys.example/c"`;
  assert.deepEqual(failedFetches(log), ["http://keys.example/a", "https://keys.example/b"]);
});
