import assert from "node:assert/strict";
import { afterEach, it } from "node:test";
import { MeshproofError } from "../harness/model/errors.ts";
import { watchInterrupt } from "./interrupt.ts";

const send = (signal: NodeJS.Signals): boolean => process.emit(signal, signal);

afterEach(() => {
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.removeAllListeners(signal);
});

it("asks to stop at the first signal, and prints that once", () => {
  const told: string[] = [];
  const signal = watchInterrupt((line) => told.push(line), { exit: () => assert.fail("must not exit") });
  assert.equal(signal.aborted, false);
  send("SIGTERM");
  assert.equal(signal.aborted, true);
  assert.ok(signal.reason instanceof MeshproofError);
  assert.equal(signal.reason.code, "ERR_INTERRUPTED");
  assert.deepEqual(told, ["got SIGTERM, stopping (once more to stop at once)"]);
});

it("treats a copy of the signal from npm or the launcher as the same key press", () => {
  let clock = 0;
  watchInterrupt(() => undefined, { now: () => clock, exit: () => assert.fail("must not exit") });
  send("SIGINT");
  clock = 50;
  send("SIGINT");
});

it("ends the process at the second key press", () => {
  const codes: number[] = [];
  let clock = 0;
  watchInterrupt(() => undefined, { now: () => clock, exit: (code) => codes.push(code) });
  send("SIGINT");
  clock = 1000;
  send("SIGINT");
  assert.deepEqual(codes, [130]);
});
