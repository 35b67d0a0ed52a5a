import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { readEcdsa } from "./ecdsa.ts";

describe("an ECDSA signature as Envoy reads it", () => {
  const number = (byte: number, length = 32): Buffer => Buffer.alloc(length, byte);
  const good = Buffer.concat([number(1), number(2)]);

  it("without an odd last byte", () => {
    assert.deepEqual(readEcdsa("ES256", Buffer.concat([good, Buffer.from([9])])), good);
  });

  it("with numbers that begin with zeros", () => {
    const zero = Buffer.from([0]);
    assert.deepEqual(readEcdsa("ES256", Buffer.concat([zero, number(1), zero, number(2)])), good);
  });

  it("cut short: its halves are other numbers", () => {
    assert.notDeepEqual(readEcdsa("ES256", good.subarray(0, -2)), good);
  });

  it("not at all where a number is too long", () => {
    assert.equal(readEcdsa("ES256", Buffer.concat([number(1, 33), number(2, 33)])), undefined);
  });

  it("unchanged where it is none", () => {
    assert.deepEqual(readEcdsa("RS256", Buffer.from("abc")), Buffer.from("abc"));
  });
});
