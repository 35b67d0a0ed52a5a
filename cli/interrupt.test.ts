import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { beforeEach, describe, it } from "node:test";
import { MeshproofError } from "../harness/model/errors.ts";
import { watchInterrupt } from "./interrupt.ts";

describe("an interrupt", () => {
  // An interrupt of the process itself ends the test runner.
  let signals: EventEmitter;
  const send = (signal: NodeJS.Signals): boolean => signals.emit(signal, signal);

  beforeEach(() => {
    signals = new EventEmitter();
  });

  it("asks to stop at the first signal, and prints that once", () => {
    const told: string[] = [];
    const signal = watchInterrupt((line) => told.push(line), { signals, exit: () => assert.fail("must not exit") });
    assert.equal(signal.aborted, false);
    send("SIGTERM");
    assert.equal(signal.aborted, true);
    assert.ok(signal.reason instanceof MeshproofError);
    assert.equal(signal.reason.code, "ERR_INTERRUPTED");
    assert.deepEqual(told, ["got SIGTERM, stopping (once more to stop at once)"]);
  });

  it("treats a copy of the signal from npm or the launcher as the same key press", () => {
    let clock = 0;
    watchInterrupt(() => undefined, { signals, now: () => clock, exit: () => assert.fail("must not exit") });
    send("SIGINT");
    clock = 50;
    send("SIGINT");
  });

  it("ends the process at the second key press", () => {
    const codes: number[] = [];
    let clock = 0;
    watchInterrupt(() => undefined, { signals, now: () => clock, exit: (code) => codes.push(code) });
    send("SIGINT");
    clock = 1000;
    send("SIGINT");
    assert.deepEqual(codes, [130]);
  });

  it("means again what it meant before, when the work has ended", () => {
    const over = new AbortController();
    const signal = watchInterrupt(() => assert.fail("must not tell"), { signals, until: over.signal });
    over.abort();
    assert.equal(send("SIGINT"), false);
    assert.equal(signal.aborted, false);
  });
});
