import assert from "node:assert/strict";
import { test } from "node:test";
import { reportersOf } from "./sidecars.ts";

const answer = (status: number, by: "workload" | "authorization") => ({ verdict: { status, by, body: "" } });
const denied = answer(403, "authorization");
const open = answer(200, "workload");

test("of two answers the reporter's is the one that they saw, or that they did not expect", () => {
  assert.equal(reportersOf([denied, open], { seen: 200, expected: 200 }), open);
  assert.equal(reportersOf([denied, open], { expected: 403 }), open);
  assert.equal(reportersOf([denied, open], { expected: 200 }), denied);
  assert.equal(reportersOf([denied, open], { seen: 404 }), undefined);
  assert.equal(reportersOf([denied, open], {}), undefined);
  assert.equal(reportersOf([denied, denied], { seen: 403 }), undefined);
});
