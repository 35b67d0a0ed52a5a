import assert from "node:assert/strict";
import { test } from "node:test";
import { AddressPool } from "./network.ts";

test("gives addresses in turn, and a freed one not at once", () => {
  const pool = new AddressPool("10.244.0.0/24");
  assert.deepEqual([pool.take(), pool.take(), pool.take()], ["10.244.0.2", "10.244.0.3", "10.244.0.4"]);
  pool.release("10.244.0.3");
  assert.equal(pool.take(), "10.244.0.5");
});

test("goes round, leaving out network, node and broadcast address", () => {
  const pool = new AddressPool("192.168.255.248/29");
  const all = Array.from({ length: 5 }, () => pool.take());
  assert.deepEqual(
    all,
    [2, 3, 4, 5, 6].map((n) => `192.168.255.${248 + n}`),
  );
  assert.throws(() => pool.take(), /no address is left/);
  pool.release("192.168.255.251");
  assert.equal(pool.take(), "192.168.255.251");
});
